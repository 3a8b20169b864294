/**
 * Effect descriptions as entries of the outbox: what each kind holds, how a step's effects become entries and
 * cancellations, and how an entry becomes what is to be done.
 *
 * A kind names the aggregate, what is to be done, and the version of what is stored for it: `order/perform/Charge.v2`. So a
 * worker claims what it knows, and leaves to newer programs what only they know.
 */
import * as Formatter from "effect/Formatter"
import * as Result from "effect/Result"
import type * as Schema from "effect/Schema"
import type { EventStore, StreamAppend } from "../EventStore.ts"
import * as Fx from "../Fx.ts"
import type { Cancellation, OutboxEntry, StoredEntry } from "../Outbox.ts"
import type { EncodedEvent } from "../RecordedEvent.ts"
import { EffectNotDurable } from "../StoreError.ts"
import type { AnyTask, InputOf } from "../Task.ts"
import { type JsonCodec, jsonCodec } from "./compiled.ts"
import { keyOf } from "./InFlight.ts"

/** What an effect is stored as when it has no version of its own. */
const shape = "v1"

/** What a step's effects come to. */
export interface Plan {
  readonly outbox: ReadonlyArray<OutboxEntry>
  readonly cancels: ReadonlyArray<Cancellation>
  /** What is done in this process, once the events are stored. */
  readonly local: Fx.AnyFx
}

/** What an entry asks for. */
export type Deed =
  | { readonly _tag: "Perform"; readonly task: AnyTask; readonly input: InputOf<AnyTask> }
  | { readonly _tag: "Send"; readonly command: unknown }
  | { readonly _tag: "Dispatch"; readonly category: string; readonly id: string; readonly command: unknown }
  | { readonly _tag: "Publish"; readonly topic: string; readonly event: EncodedEvent; readonly key: string | null }
  | { readonly _tag: "Load"; readonly category: string; readonly id: string; readonly as: string }
  | { readonly _tag: "Transact"; readonly appends: Parameters<EventStore["Service"]["transact"]>[0] }

/** What must be known of an aggregate whose effects are stored. */
export interface Known {
  readonly category: string
  readonly tasks: Iterable<AnyTask>
  /** How the commands of each aggregate that it dispatches to are written, its own among them. */
  readonly commands: ReadonlyMap<string, Schema.Codec<unknown, unknown>>
}

interface StoredBody {
  readonly trace?: string
}

type Read = (body: never) => Result.Result<Deed, string>

/** The descriptions of one aggregate, there and back. */
export interface DurableFx {
  /** All kinds that can be read. */
  readonly kinds: ReadonlyArray<string>
  /** Stores a step's effects, with the trace parent of whoever caused them. */
  readonly plan: (effects: Fx.AnyFx, trace: string | undefined) => Result.Result<Plan, EffectNotDurable>
  /** What an entry asks for; in words why that cannot be told. */
  readonly read: (entry: Pick<StoredEntry, "kind" | "body">) => Result.Result<Deed, string>
}

/** The trace parent of whoever caused an entry. */
export const traceOf = ({ body }: Pick<StoredEntry, "body">): string | undefined => (body as StoredBody).trace

/** The key of what has no id, and is ended by what ends everything. */
const keyless = (at: Fx.Path): string => `${Fx.placeOf(at)}*`

interface Encoder {
  readonly kind: string
  readonly codec: JsonCodec
  readonly ordered: boolean
}

const encoded = (fx: Fx.AnyFx, codec: JsonCodec, value: unknown): Result.Result<Schema.Json, EffectNotDurable> =>
  Result.mapError(
    codec.encode(value),
    ({ message }) => new EffectNotDurable({ effect: Fx.render(fx), issue: `It does not fit its schema: ${message}` })
  )

const decodedBy = (codec: JsonCodec, json: unknown): Result.Result<unknown, string> =>
  Result.mapError(codec.decode(json), ({ message }) => message)

const words = (error: unknown): string => error instanceof Error ? String(error) : Formatter.format(error)

const inVain: Readonly<Record<string, string>> = {
  Throttle: "What was throttled is not remembered anywhere: keep the time in the state, and send or refuse by it",
  Subscribe: "A source goes on and on, which no entry can: follow it outside, and dispatch commands",
  Run: "An effect that is not data cannot be stored: declare a task",
  Sequential: "A sequence is not remembered anywhere: let the outcome of each step ask for the next",
  Parallel: "A bound is not remembered anywhere: use Fx.all, and bound the worker"
}

/** The descriptions of an aggregate, there and back. */
export const make = ({ category, commands, tasks }: Known): DurableFx => {
  const kindOf = (what: string): string => `${category}/${what}.${shape}`
  const codecs = new Map([...commands].map(([target, codec]) => [target, jsonCodec(codec)] as const))
  const own = codecs.get(category)!
  const encoders = new Map<string, Encoder>()
  const readers = new Map<string, Read>()

  for (const task of tasks) {
    const of = (version: number) => `${category}/perform/${task.name}.v${version}`
    const codec = jsonCodec(task.input)
    encoders.set(task.name, { kind: of(task.version), codec, ordered: task.start === "in order" })
    const perform = (input: InputOf<AnyTask>): Deed => ({ _tag: "Perform", task, input })
    readers.set(
      of(task.version),
      ({ input }: { readonly input: unknown }) => Result.map(decodedBy(codec, input), perform)
    )
    task.older.forEach((older, index) => {
      const codec = jsonCodec(older.input)
      const chain = task.older.slice(index)
      readers.set(
        of(older.version),
        ({ input }: { readonly input: unknown }) =>
          Result.flatMap(decodedBy(codec, input), (first) =>
            Result.try({
              try: () => perform(chain.reduce<unknown>((value, { upcast }) => upcast(value as never), first)),
              catch: (cause) => `the upcaster of its input threw: ${words(cause)}`
            }))
      )
    })
  }
  readers.set(
    kindOf("send"),
    ({ command }: { readonly command: unknown }) =>
      Result.map(decodedBy(own, command), (command): Deed => ({ _tag: "Send", command }))
  )
  readers.set(kindOf("dispatch"), (body: Omit<Extract<Deed, { readonly _tag: "Dispatch" }>, "_tag">) => {
    const codec = codecs.get(body.category)
    return codec === undefined
      ? Result.fail(`${body.category} is not among the targets of ${category}: declare it`)
      : Result.map(
        decodedBy(codec, body.command),
        (command): Deed => ({ _tag: "Dispatch", category: body.category, id: body.id, command })
      )
  })
  readers.set(
    kindOf("publish"),
    (
      { event, key = null, topic }: {
        readonly event: EncodedEvent
        readonly topic: string
        readonly key?: string | null
      }
    ) => Result.succeed({ _tag: "Publish", topic, event, key })
  )
  readers.set(
    kindOf("load"),
    ({ as, category, id }: Omit<Extract<Deed, { readonly _tag: "Load" }>, "_tag">) =>
      Result.succeed({ _tag: "Load", category, id, as })
  )
  readers.set(
    kindOf("transact"),
    ({ appends }: { readonly appends: readonly [StreamAppend, ...ReadonlyArray<StreamAppend>] }) =>
      Result.succeed({ _tag: "Transact", appends })
  )

  const plan: DurableFx["plan"] = (effects, trace) => {
    const outbox: Array<OutboxEntry> = []
    const cancels: Array<Cancellation> = []
    let local: Fx.AnyFx = Fx.none

    const store = (entry: Omit<OutboxEntry, "body">, body: { readonly [member: string]: unknown }): undefined => {
      outbox.push({ ...entry, body: { ...body, ...trace !== undefined && { trace } } as Schema.Json })
    }
    const end = (cancel: Cancellation): void => {
      const isEnded = ({ key }: OutboxEntry): boolean =>
        key !== undefined && ("key" in cancel ? key === cancel.key : key.startsWith(cancel.prefix))
      for (let i = outbox.length - 1; i >= 0; i--) if (isEnded(outbox[i]!)) outbox.splice(i, 1)
      cancels.push(cancel)
    }

    /** What keeps the effect from being stored. */
    const add = (fx: Fx.AnyFx): EffectNotDurable | undefined => {
      switch (fx._tag) {
        case "None":
        case "Append":
        case "Reject":
          return undefined
        case "SaveSnapshot":
          local = fx
          return undefined
        case "Perform": {
          const encoder = encoders.get(fx.task)
          if (encoder === undefined) {
            const issue = `${fx.task} is not among the tasks of its durable aggregate: name it there`
            return new EffectNotDurable({ effect: Fx.render(fx), issue })
          }
          const input = encoded(fx, encoder.codec, fx.input)
          if (Result.isFailure(input)) return input.failure
          const key = fx.id === null ? keyless(fx.at) : keyOf(fx.at, fx.id)
          if (fx.id !== null) end({ key })
          return store({ kind: encoder.kind, key, ordered: encoder.ordered }, { input: input.success })
        }
        case "Send":
        case "Delay": {
          const command = encoded(fx, own, fx.action)
          if (Result.isFailure(command)) return command.failure
          if (fx._tag === "Send") return store({ kind: kindOf("send"), ordered: true }, { command: command.success })
          const key = keyOf(fx.at, fx.id)
          end({ key })
          return store({ kind: kindOf("send"), key, delay: Math.ceil(fx.millis) }, { command: command.success })
        }
        case "Dispatch": {
          const codec = codecs.get(fx.category)
          if (codec === undefined) {
            const issue = `${fx.category} is not among the targets of its durable aggregate: name it there`
            return new EffectNotDurable({ effect: Fx.render(fx), issue })
          }
          const command = encoded(fx, codec, fx.command)
          if (Result.isFailure(command)) return command.failure
          const body = { category: fx.category, id: fx.id, command: command.success }
          return store({ kind: kindOf("dispatch"), ordered: true }, body)
        }
        case "Publish":
          return store({ kind: kindOf("publish"), ordered: true }, { topic: fx.topic, event: fx.event, key: fx.key })
        case "Load":
          return store({ kind: kindOf("load"), ordered: true }, { category: fx.category, id: fx.id, as: fx.as })
        case "Transact":
          return store({ kind: kindOf("transact"), ordered: true }, { appends: fx.appends })
        case "Cancel":
          return void end({ key: keyOf(fx.at, fx.id) })
        case "CancelAll":
          return void end({ prefix: Fx.placeOf(fx.at) })
        case "Parallel":
          if (fx.concurrency === null) return addAll(fx.fx)
          break
        case "Throttle":
        case "Subscribe":
        case "Run":
        case "Sequential":
          break
      }
      return new EffectNotDurable({ effect: Fx.render(fx), issue: inVain[fx._tag]! })
    }
    const addAll = (all: ReadonlyArray<Fx.AnyFx>): EffectNotDurable | undefined => {
      for (const fx of all) {
        const failed = add(fx)
        if (failed !== undefined) return failed
      }
      return undefined
    }
    const failed = add(effects)
    return failed === undefined ? Result.succeed({ outbox, cancels, local }) : Result.fail(failed)
  }

  return {
    kinds: [...readers.keys()],
    plan,
    read: ({ body, kind }) => readers.get(kind)?.(body as never) ?? Result.fail(`nobody here knows what ${kind} is`)
  }
}
