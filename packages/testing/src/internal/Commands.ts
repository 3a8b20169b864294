/**
 * The commands that an aggregate's store decides, noted: which were sent by effects, to which instance, and what they
 * stored.
 */
import type { Meta } from "@composable-ts/core/Action"
import type { Aggregate } from "@composable-ts/core/Aggregate"
import * as EventStore from "@composable-ts/core/EventStore"
import * as Fx from "@composable-ts/core/Fx"
import * as Effect from "effect/Effect"
import { randomUUID } from "node:crypto"
import { type Came, inline, type TestBench } from "./TestBench.ts"
import { leavesOf } from "./UnderWay.ts"

type Tag = { readonly _tag: string }

/** A command that an effect sent, and what it led to. */
export interface Commanded<S, C, E> extends Came {
  readonly id: string
  readonly command: C
  readonly events: ReadonlyArray<E>
  /** The state behind them. */
  readonly state: S
}

/** A command under its id. */
interface Known<S, C, E> {
  readonly instance: string
  readonly what: string
  /** The note of it, unless the test dispatched it. */
  readonly note: Commanded<S, C, E> | undefined
}

export class Commands<S, C extends Tag, E extends Tag, R, N> {
  readonly #definition: Aggregate<S, C, E, R, N>
  readonly #bench: TestBench<Commanded<S, C, E>>
  readonly #known = new Map<string, Known<S, C, E>>()

  constructor(definition: Aggregate<S, C, E, R, N>, bench: TestBench<Commanded<S, C, E>>) {
    this.#definition = definition
    this.#bench = bench
  }

  /** The ids of a command that the test sends to an instance. */
  sending(instance: string): EventStore.AppendOptions {
    const commandId = randomUUID()
    this.#known.set(commandId, { instance, what: "", note: undefined })
    return { commandId }
  }

  /** The aggregate, and beside it a note of each decision. */
  get noted(): Aggregate<S, C, E, R, N> {
    const { decide, react } = this.#definition
    return {
      ...this.#definition,
      decide: (state, command, meta) => {
        const decision = decide(state, command, meta)
        const leaves = leavesOf(decision)
        const what = inline(command)
        const refused = leaves.some(({ _tag }) => _tag === "Reject")
        const events = leaves.flatMap((leaf) => leaf._tag === "Append" ? leaf.events as ReadonlyArray<E> : [])
        this.#note({ state, command, meta }, refused ? undefined : events, what)
        if (!refused) this.#want(decision, meta, what)
        return decision
      },
      react: (state, event, meta) => {
        const reaction = react(state, event, meta)
        this.#want(reaction, meta, inline(event))
        return reaction
      }
    }
  }

  /** The event store, waited for, and asked what it has stored. */
  observed(store: EventStore.Service): EventStore.Service {
    return EventStore.make({
      transact: (appends, context) =>
        Effect.tap(
          this.#bench.outside(store.transact(appends, context)),
          () => Effect.sync(() => this.#stored(context.commandId))
        ),
      tombstone: (streamId, expected, context) => this.#bench.outside(store.tombstone(streamId, expected, context)),
      read: (streamId, options) => this.#bench.outside(store.read(streamId, options)),
      readAll: (options) => this.#bench.outside(store.readAll(options)),
      readCommand: (commandId) => this.#bench.outside(store.readCommand(commandId)),
      listen: store.listen
    })
  }

  /** What is wanted is wanted within the instance, as its store makes it. */
  #want(fx: Fx.AnyFx, meta: Meta, by: string): void {
    const instance = this.#known.get(meta.id)?.instance
    const { category } = this.#definition
    this.#bench.underWay.want(instance === undefined ? fx : Fx.within({ key: category, id: instance }, fx), by)
  }

  /** A command may be decided again, after a conflict or behind a read: the last decision counts. */
  #note(
    { command, meta, state }: { readonly state: S; readonly command: C; readonly meta: Meta },
    events: ReadonlyArray<E> | undefined,
    what: string
  ): void {
    const before = this.#known.get(meta.id)
    if (before !== undefined && before.note === undefined) {
      this.#known.set(meta.id, { ...before, what })
      return
    }
    if (before?.note !== undefined) this.#bench.retract(before.note)
    const cause = this.#known.get(meta.causationId)
    const instance = before?.instance ?? cause?.instance ?? "an unknown instance"
    const note: Commanded<S, C, E> = {
      what: `${what} to ${instance}`,
      by: cause?.what ?? meta.causationId,
      id: instance,
      command,
      events: events ?? [],
      state: (events ?? []).reduce(this.#definition.evolve, state)
    }
    this.#known.set(meta.id, { instance, what, note })
    // What stores nothing is done once it is decided; the rest once it is stored.
    if (events !== undefined && events.length === 0) this.#bench.came(note)
  }

  #stored(commandId: string): void {
    const known = this.#known.get(commandId)
    if (known?.note === undefined || known.note.events.length === 0) return
    this.#bench.came(known.note)
    this.#known.set(commandId, { ...known, note: undefined })
  }
}
