/**
 * Actions are what a feature reacts to: *commands*, imperative and refusable, and *events*, facts in the past tense that
 * are stored. One declaration gives the constructors, the types, the guards, the stored names and the codecs.
 */
import * as Formatter from "effect/Formatter"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { Fields, Payload, Versioned } from "./Event.ts"
import { type DecodeError, EventDecodeFailed, EventEncodeFailed, EventErased, UnknownEventType } from "./EventError.ts"
import { type JsonCodec, jsonCodec } from "./internal/compiled.ts"
import { type MakeRecord, recordOf } from "./internal/record.ts"
import type { EncodedEvent, RecordedEvent } from "./RecordedEvent.ts"

/**
 * What accompanies an action into a reducer: pure inputs only, so that a reducer needs no clock and no randomness.
 */
export interface Meta {
  /** The action's own id: a command's id, or an event's. */
  readonly id: string
  /** When the action was issued, in milliseconds since the Unix epoch. */
  readonly time: number
  /** The id of the action that started the whole conversation; its own id when it is the first. */
  readonly correlationId: string
  /** The id of the action that directly caused this one; its own id when it is the first. */
  readonly causationId: string
}

/** A command or event as a value: its payload, tagged with its name. */
export type Tagged<Tag extends string, F extends Fields> = { readonly _tag: Tag } & Payload<F>

type Commands = Readonly<Record<string, Fields>>
type Events = Readonly<Record<string, Versioned<Fields>>>

type CommandUnion<C extends Commands> = { readonly [K in keyof C & string]: Tagged<K, C[K]> }[keyof C & string]
type EventUnion<E extends Events> = { readonly [K in keyof E & string]: Tagged<K, E[K]["fields"]> }[keyof E & string]

/** The constructor of an action. It trusts its argument: values are validated where they enter the program. */
export type Constructor<Tag extends string, F extends Fields> = {} extends Payload<F>
  ? (payload?: Payload<F>) => Tagged<Tag, F>
  : (payload: Payload<F>) => Tagged<Tag, F>

/** One function for each action of a union, by tag; `B` what each returns. */
export type Cases<A extends { readonly _tag: string }, B extends Readonly<Record<A["_tag"], unknown>>> = {
  readonly [Tag in keyof B]: (action: Extract<A, { readonly _tag: Tag }>) => B[Tag]
}

/** What {@link define} was given: the fields of each command, the versions of each event. */
export interface Declaration<CommandTag extends string, EventTag extends string> {
  readonly commands: Readonly<Record<CommandTag, Fields>>
  readonly events: Readonly<Record<EventTag, Versioned<Fields>>>
}

/** What {@link define} gives for a feature, besides the constructors. */
export interface Vocabulary<C extends { readonly _tag: string }, E extends { readonly _tag: string }> {
  /** The feature's name. */
  readonly name: string
  /** The schemas that the feature was declared with, older versions of events included: test data is made from them. */
  readonly declaration: Declaration<C["_tag"], E["_tag"]>
  /** Decodes and encodes a command, for instance one that arrives over HTTP. */
  readonly Command: Schema.Codec<C, unknown>
  readonly isCommand: (action: C | E) => action is C
  readonly isEvent: (action: C | E) => action is E
  /** The name under which the event is stored: `OrderPlaced.v1`. */
  readonly eventType: (event: E) => string
  /** The name under which each event is stored now. */
  readonly eventTypes: Readonly<Record<E["_tag"], string>>
  /** Every stored name of each event, older versions included: what a subscription to it must ask for. */
  readonly storedTypes: Readonly<Record<E["_tag"], ReadonlyArray<string>>>
  /** Calls the case of the action; a missing case does not compile, nor does one too many. */
  readonly match: <A extends C | E, const B extends Readonly<Record<A["_tag"], unknown>>>(
    action: A,
    cases: Cases<A, B> & Readonly<Record<Exclude<keyof B, A["_tag"]>, never>>
  ) => B[A["_tag"]]
  /** An event as it is stored. Commands do not compile here, so a command can never reach the log. */
  readonly encode: (event: E) => Result.Result<EncodedEvent, EventEncodeFailed>
  /** A stored event of any declared version, in its current shape. An erased one has none, and fails. */
  readonly decode: (recorded: RecordedEvent) => Result.Result<E, DecodeError>
}

// eslint-disable-next-line typescript/no-explicit-any -- a bound that every vocabulary must fit, whatever its actions
type Whatever = any

/** Any feature's vocabulary; also of a feature without events, or without commands. */
export type AnyVocabulary =
  | Vocabulary<Whatever, Whatever>
  | Vocabulary<Whatever, never>
  | Vocabulary<never, Whatever>

/** The union of a feature's commands. */
export type CommandOf<V extends AnyVocabulary> = V extends Vocabulary<infer C, infer _E> ? C : never

/** The union of a feature's events. */
export type EventOf<V extends AnyVocabulary> = V extends Vocabulary<infer _C, infer E> ? E : never

/** The union of a feature's commands and events. */
export type ActionOf<V extends AnyVocabulary> = CommandOf<V> | EventOf<V>

/** A feature's vocabulary together with a constructor for each command and event. */
export type Defined<C extends Commands, E extends Events> =
  & Vocabulary<CommandUnion<C>, EventUnion<E>>
  & { readonly [K in keyof C & string]: Constructor<K, C[K]> }
  & { readonly [K in keyof E & string]: Constructor<K, E[K]["fields"]> }

/** Names that would hide a member of the vocabulary. */
type Reserved = keyof Vocabulary<never, never>
type NotReserved<Names extends string> = {
  readonly [K in Names as K extends Reserved ? K : never]: `${
    & K
    & Reserved} is a member of the vocabulary: choose another name`
}
type Disjoint<Names extends string, Others> = {
  readonly [K in Names as K extends keyof Others ? K : never]: `${K} is declared both as a command and as an event`
}

/** No name begins with `$`, so none can be mistaken for what the event store writes itself. */
const nameShape = /^[A-Z][A-Za-z0-9_]*$/

/**
 * Declares a feature's actions.
 *
 * Commands are given by their fields, events by their versions ({@link Event.v1}). The result has a constructor for each,
 * and the members of {@link Vocabulary}.
 *
 * @example
 * ```ts
 * import * as Action from "@composable-ts/core/Action"
 * import * as Event from "@composable-ts/core/Event"
 * import * as Schema from "effect/Schema"
 *
 * const Light = Action.define("Light", {
 *   commands: { Switch: { on: Schema.Boolean } },
 *   events: { Switched: Event.v1({ on: Schema.Boolean }) }
 * })
 *
 * Light.eventType(Light.Switched({ on: true })) // => "Switched.v1"
 * ```
 */
export const define = <const C extends Commands, const E extends Events>(
  name: string,
  spec: {
    readonly commands: C & NotReserved<keyof C & string>
    readonly events: E & NotReserved<keyof E & string> & Disjoint<keyof E & string, C>
  }
): Defined<C, E> => {
  const commands: Commands = spec.commands
  const events: Events = spec.events
  checkNames(name, commands, events)
  const stored = new Map<string, Decoder>()
  const encoders = new Map<string, Encoder>()
  const storedTypes: Record<string, ReadonlyArray<string>> = {}
  const eventTypes: Record<string, string> = {}
  const constructors: Record<string, MakeRecord> = {}
  for (const [tag, fields] of Object.entries(commands)) constructors[tag] = recordOf(tag, fields)
  for (const [tag, declared] of Object.entries(events)) {
    const make = constructors[tag] = recordOf(tag, declared.fields)
    encoders.set(tag, encoder(tag, declared))
    const versions = decoders(tag, declared, make)
    for (const [type, decoder] of versions) stored.set(type, decoder)
    storedTypes[tag] = [...versions.keys()]
    eventTypes[tag] = `${tag}.v${declared.version}`
  }
  const vocabulary: Vocabulary<Whatever, Whatever> = {
    name,
    declaration: { commands, events },
    Command: Schema.toCodecJson(Schema.TaggedUnion(commands as Record<string, Schema.Struct.Fields>)) as never,
    isCommand: (action): action is never => Object.hasOwn(commands, action._tag),
    isEvent: (action): action is never => Object.hasOwn(events, action._tag),
    eventType: (event) => eventTypes[event._tag]!,
    eventTypes,
    storedTypes,
    match: (action, cases) => (cases as Record<string, (action: unknown) => never>)[action._tag]!(action),
    encode: (event) => encoders.get(event._tag)!(event),
    decode: (recorded) => {
      if (recorded.erased === true) return Result.fail(EventErased.of(recorded))
      const decoder = stored.get(recorded.type)
      return decoder === undefined ? Result.fail(UnknownEventType.of(recorded, name)) : decoder(recorded)
    }
  }
  return { ...constructors, ...vocabulary } as Defined<C, E>
}

const checkNames = (name: string, commands: Commands, events: Events): void => {
  for (const tag of [name, ...Object.keys(commands), ...Object.keys(events)]) {
    if (!nameShape.test(tag)) {
      throw new TypeError(`"${tag}" cannot name an action: use a capital letter, then letters, digits and "_"`)
    }
  }
}

type Encoder = (event: object) => Result.Result<EncodedEvent, EventEncodeFailed>
type Decoder = (recorded: RecordedEvent) => Result.Result<unknown, EventDecodeFailed>

/** Effect's empty struct lets every value through as it is; an event without fields is `{}`, stored and read. */
const record = jsonCodec(Schema.Record(Schema.String, Schema.Unknown))
const noFields: JsonCodec = {
  decode: (json) => Result.map(record.decode(json), () => ({})),
  encode: () => Result.succeed({})
}

const structCodec = (fields: Fields): JsonCodec =>
  Reflect.ownKeys(fields).length === 0
    ? noFields
    : jsonCodec(Schema.Struct(fields) as Schema.Constraint as Schema.Codec<unknown, unknown>)

const encoder = (tag: string, declared: Versioned<Fields>): Encoder => {
  const type = `${tag}.v${declared.version}`
  const codec = structCodec(declared.fields)
  return (event) => {
    const encoded = codec.encode(event)
    return Result.isFailure(encoded)
      ? Result.fail(new EventEncodeFailed({ type, issue: encoded.failure.message }))
      : Result.succeed({ type, data: encoded.success } as EncodedEvent)
  }
}

/** A decoder for each version of the event, under its stored name; an older one ends with its chain of upcasters. */
const decoders = (tag: string, declared: Versioned<Fields>, make: MakeRecord): ReadonlyMap<string, Decoder> => {
  const current = structCodec(declared.fields)
  const all = new Map<string, Decoder>()
  declared.older.forEach((older, index) => {
    const codec = structCodec(older.fields)
    const chain = declared.older.slice(index)
    all.set(`${tag}.v${older.version}`, (recorded) => {
      const decoded = codec.decode(recorded.data)
      if (Result.isFailure(decoded)) return Result.fail(EventDecodeFailed.of(recorded, decoded.failure.message))
      try {
        const payload = chain.reduce<unknown>((value, step) => step.upcast(value as never), decoded.success)
        return Result.succeed(make(payload as object))
      } catch (defect) {
        return Result.fail(
          EventDecodeFailed.of(
            recorded,
            `its upcaster threw: ${defect instanceof Error ? String(defect) : Formatter.format(defect)}`
          )
        )
      }
    })
  })
  all.set(`${tag}.v${declared.version}`, (recorded) => {
    const decoded = current.decode(recorded.data)
    return Result.isFailure(decoded)
      ? Result.fail(EventDecodeFailed.of(recorded, decoded.failure.message))
      : Result.succeed(make(decoded.success))
  })
  return all
}
