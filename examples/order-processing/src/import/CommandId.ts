/**
 * The ids of imported commands. They follow from what is asked for, so a line that is imported again is recognised, and
 * an interrupted import can simply be run again.
 */
import { Schema } from "effect"
import { createHash } from "node:crypto"
import { Order, type OrderCommand } from "../domain/Order.ts"

const encode = Schema.encodeSync(Order.Command)

const verbs = { PlaceOrder: "place", ShipOrder: "ship", CancelOrder: "cancel" }

/** As in `place:10248:<hash>`, the hash being that of the command in its JSON form, which is the same however it was written. */
export const commandId = (command: OrderCommand): string => {
  const hash = createHash("sha256").update(JSON.stringify(encode(command))).digest("hex")
  return `${verbs[command._tag]}:${command.orderId}:${hash}`
}
