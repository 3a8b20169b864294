/**
 * The flag that says where the orders are kept, for every command.
 */
import { Effect } from "effect"
import { Flag, GlobalFlag } from "effect/cli"
import { type DatabaseUnavailable, type Remaining, withOrders } from "../Database.ts"
import { fromUser } from "../WorkingDirectory.ts"

/** `--data DIR`. */
export const DataFolder = GlobalFlag.Setting("data")({
  flag: Flag.String("data").pipe(
    Flag.withMetavar("DIR"),
    Flag.withDescription("The folder that keeps the orders between commands, unless DATABASE_URL names a database"),
    Flag.withDefault(".orders")
  )
})

/** Runs a command's program on the orders that the flag names. */
export const onOrders = <A, E, R>(
  program: Effect.Effect<A, E, R>
): Effect.Effect<A, E | DatabaseUnavailable, Remaining<R> | GlobalFlag.Setting.Identifier<"data">> =>
  Effect.flatMap(DataFolder, (folder) => withOrders(fromUser(folder), program))
