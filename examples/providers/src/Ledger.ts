/**
 * What a provider remembers: its first answer under each idempotency key, how often it was called and how often it really
 * did something. A test reads it to see that nothing was done twice.
 */
import { Schema } from "effect"

const Count = Schema.Int

/** What a provider was asked and did under one key. */
export const Entry = Schema.Struct({
  key: Schema.String,
  operation: Schema.String,
  /** How often it was asked. */
  calls: Count,
  /** How often it did what it was asked: once, unless it does not honour keys. */
  done: Count
})

/** What a provider was asked and did under one key. */
export type Entry = typeof Entry.Type

/** What a provider was asked and did. */
export const Book = Schema.Struct({
  entries: Schema.Array(Entry),
  /** Calls that were refused because they had no key. */
  withoutKey: Count,
  /** Calls that were refused because their key had been used for something else. */
  keyReused: Count
})

/** What a provider was asked and did. */
export type Book = typeof Book.Type

/** Whether the provider knows a request by its key, or does it again each time, like one that is not to be trusted. */
export type Keys = "honoured" | "ignored"

/** The key was used for another request before. */
export interface KeyReused {
  readonly _tag: "KeyReused"
}

interface Line {
  readonly operation: string
  readonly request: string
  calls: number
  done: number
  answer: unknown
}

/** A provider's memory. */
export class Ledger {
  readonly #lines = new Map<string, Line>()
  readonly #keys: Keys
  #withoutKey = 0
  #keyReused = 0

  constructor(keys: Keys) {
    this.#keys = keys
  }

  /** Notes a call that has no key. */
  refuse(): void {
    this.#withoutKey += 1
  }

  /** Notes a call that never came to anything. */
  called(key: string, operation: string, request: unknown): void {
    this.#line(key, operation, JSON.stringify(request)).calls += 1
  }

  /** Does what is asked, or gives the answer of the first time. */
  once<A>(key: string, operation: string, request: unknown, perform: () => A): A | KeyReused {
    const text = JSON.stringify(request)
    const line = this.#line(key, operation, text)
    if (line.operation !== operation || line.request !== text) {
      this.#keyReused += 1
      return { _tag: "KeyReused" }
    }
    if (line.done === 0 || this.#keys === "ignored") {
      line.answer = perform()
      line.done += 1
    }
    return line.answer as A
  }

  /** Everything so far. */
  get book(): Book {
    return {
      entries: [...this.#lines].map(([key, { calls, done, operation }]) => ({ key, operation, calls, done })),
      withoutKey: this.#withoutKey,
      keyReused: this.#keyReused
    }
  }

  #line(key: string, operation: string, request: string): Line {
    const known = this.#lines.get(key)
    if (known !== undefined) return known
    const line = { operation, request, calls: 0, done: 0, answer: undefined }
    this.#lines.set(key, line)
    return line
  }
}

/** What a provider that honours keys must never have done, in words; none when all is well. */
export const violations = ({ entries, withoutKey, keyReused }: Book): ReadonlyArray<string> => [
  ...entries.flatMap(({ done, key, operation }) => done > 1 ? [`${operation} ${key} was done ${done} times`] : []),
  ...withoutKey > 0 ? [`${withoutKey} calls had no key`] : [],
  ...keyReused > 0 ? [`${keyReused} calls reused a key for something else`] : []
]
