/**
 * A pure model of a payment provider, for simulated worlds: it keeps the contract of the real one in `providers`, and may
 * lose requests and answers as the list that it is given says.
 */
import { Schema } from "effect"
import { ChargeCard, RefundCharge } from "./PaymentTasks.ts"

/** How a request goes: well, lost on the way there, or on the way back. */
export const Weather = Schema.Literals(["fine", "request lost", "answer lost"])

/** How a request goes: well, lost on the way there, or on the way back. */
export type Weather = typeof Weather.Type

/** How a request ended, as its task reports it. */
export type Ending = { readonly success: unknown } | { readonly failure: unknown }

const decodeCharge = Schema.decodeUnknownSync(ChargeCard.input)
const decodeRefund = Schema.decodeUnknownSync(RefundCharge.input)
const decodeKey = Schema.decodeUnknownSync(Schema.Struct({ idempotencyKey: Schema.NonEmptyString }))

/** A provider that does what comes under one key once, and declines what is beyond a limit in minor units. */
export class ModelProvider {
  /** What was taken and not given back, by the key of its charge. */
  readonly taken = new Map<string, number>()
  readonly #answers = new Map<string, Ending>()
  readonly #voided = new Set<string>()
  readonly #limit: number
  readonly #weather: Array<Weather>

  /** The weather of the first requests; later ones go well. */
  constructor(limit: number, weather: ReadonlyArray<Weather>) {
    this.#limit = limit
    this.#weather = [...weather]
  }

  readonly perform = (task: string, input: unknown): Ending => {
    const weather = this.#weather.shift() ?? "fine"
    const lost: Ending = { failure: { _tag: "NoAnswer", reason: weather } }
    if (weather === "request lost") return lost
    const answer = this.#answer(task, input)
    return weather === "fine" ? answer : lost
  }

  #answer(task: string, input: unknown): Ending {
    const { idempotencyKey } = decodeKey(input)
    const known = this.#answers.get(idempotencyKey)
    if (known !== undefined) return known
    const answer = { success: task === ChargeCard.name ? this.#charge(input) : this.#refund(input) }
    this.#answers.set(idempotencyKey, answer)
    return answer
  }

  #charge(input: unknown): typeof ChargeCard.success.Type {
    const { amount, idempotencyKey } = decodeCharge(input)
    if (this.#voided.has(idempotencyKey)) return { _tag: "Declined", reason: "voided" }
    if (amount > this.#limit) return { _tag: "Declined", reason: "over the limit" }
    this.taken.set(idempotencyKey, amount)
    return { _tag: "Charged", chargeId: `of ${idempotencyKey}` }
  }

  #refund(input: unknown): typeof RefundCharge.success.Type {
    const { charge } = decodeRefund(input)
    this.#voided.add(charge)
    return { _tag: this.taken.delete(charge) ? "Refunded" : "NothingCharged" }
  }
}
