/**
 * What a command wants done besides its events: entries that are stored in the events' own commit, so that they are
 * there exactly when the events are. Workers claim them, do what they ask for, and complete them.
 *
 * Nobody works an entry off twice at the same time, but one may be begun again: after a crash, or when the work takes
 * longer than the lease. So whoever does the work passes {@link idempotencyKey} on, or can do it twice without harm.
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

/** What a command wants done, as it is given to an append: `AppendOptions.outbox`. */
export interface OutboxEntry {
  /** What kind of work; workers claim by it. At most 255 characters. */
  readonly kind: string
  /** All that the work needs. */
  readonly body: Schema.Json
  /** What the entry is called within its stream, for whoever looks for it later. At most 255 characters. */
  readonly key?: string | undefined
  /** How long to wait before it is due, in whole milliseconds, at most {@link maxDelay}. Default 0. */
  readonly delay?: number | undefined
  /**
   * Whether it is claimed only once the ordered entries of its stream that were due before it have been, and while no
   * other worker has one of them. Default: no.
   */
  readonly ordered?: boolean | undefined
}

/** Entries to remove with an append: those of its first stream that are not dead and were stored before it. */
export type Cancellation =
  /** With this key. */
  | { readonly key: string }
  /** With a key that begins so. */
  | { readonly prefix: string }

/** The longest delay of an entry, in milliseconds: a hundred years. */
export const maxDelay: number = 100 * 365 * 24 * 60 * 60 * 1_000

/** Which entry: of the command whose first event stands at this position, the one at this place, from 0. */
export interface EntryId {
  readonly globalPosition: bigint
  readonly index: number
}

/** An entry as it is stored. */
export interface StoredEntry extends EntryId {
  /** The first stream of the command. */
  readonly streamId: string
  readonly commandId: string
  readonly correlationId: string
  readonly kind: string
  readonly key: string | undefined
  readonly body: Schema.Json
  /** How often it was claimed, since it was stored or revived; at the first claim 1. */
  readonly attempt: number
  /** When it was to be claimed, by the store's clock, in milliseconds since the Unix epoch. */
  readonly dueAt: number
  /** What went wrong the last time, if anything did. */
  readonly error: string | undefined
  /** How often it was given up and revived. */
  readonly revivals: number
}

/**
 * Where an entry stands:
 *
 * - `waiting`: it is not due yet.
 * - `due`: it is to be claimed, for the first time or because a lease ran out.
 * - `running`: a worker has it.
 * - `retrying`: it failed, and waits for its next attempt or is due for it.
 * - `dead`: it is given up.
 */
export type Status = "waiting" | "due" | "running" | "retrying" | "dead"

/** An entry, and where it stands. */
export interface ListedEntry extends StoredEntry {
  readonly status: Status
}

/** An entry that a worker has for itself, until its lease runs out. */
export interface Claim extends StoredEntry {
  /** Fences the worker off when the entry was claimed again since, or is no more. */
  readonly token: bigint
}

/** An entry that is given up, until somebody revives or discards it. */
export interface DeadEntry extends StoredEntry {
  /** Why it was given up. */
  readonly error: string
  /** When, in milliseconds since the Unix epoch. */
  readonly parkedAt: number
}

/** What is needed of a claim to end it. */
export type ClaimRef = Pick<Claim, "globalPosition" | "index" | "token">

/** A claim that an append ends in its own commit: the entry is completed, or given up when there is a reason to. */
export interface Settlement extends ClaimRef {
  /** Why it is given up; see {@link Operations.park}. Without it, it is completed. */
  readonly deadBecause?: string | undefined
}

/** What to claim. */
export interface ClaimOptions {
  /** Only entries of these kinds. Default: of all. */
  readonly kinds?: ReadonlyArray<string> | undefined
  /** How many at the most: a whole number above 0. */
  readonly limit: number
  /** How long nobody else gets them, by the store's clock: 1 millisecond at least. Afterwards they are due again. */
  readonly lease: Duration.Input
  /**
   * Who claims. A worker gets ordered entries behind those that it already has; whoever does not say who they are gets
   * them only once nobody has any. At most 255 characters.
   */
  readonly worker?: string | undefined
}

/** What is to be done next of some kinds, in milliseconds by the store's clock. */
export interface Agenda {
  /** For how long the entry is due that is due for longest; nothing, when none is. */
  readonly overdue: number | undefined
  /** When the next entry falls due that is not: at its time, or when its lease runs out. Nothing, when there is none. */
  readonly next: number | undefined
}

/** Which entries to list. */
export interface ListOptions {
  /** Only those of this standing. Default: of any. */
  readonly status?: Status | undefined
  /** Only those of this stream. Default: of all. */
  readonly streamId?: string | undefined
  /** Only those of these kinds. Default: of all. */
  readonly kinds?: ReadonlyArray<string> | undefined
  /** Only those behind this one, in the order of positions. Default: from the first. */
  readonly after?: EntryId | undefined
  /** How many at the most: a whole number above 0. */
  readonly limit: number
}

/** When and why to try again. */
export interface RetryOptions {
  /** How long to wait, by the store's clock. */
  readonly after: Duration.Input
  /** What went wrong; kept with the entry. Beyond 8 000 characters it is cut off. */
  readonly error: string
}

/** Which dead entries to list. */
export interface DeadOptions {
  /** Only those behind this one, in the order of positions. Default: from the first. */
  readonly after?: EntryId | undefined
  /** How many at the most: a whole number above 0. */
  readonly limit: number
}

/** How many entries of a kind there are. */
export interface Counts {
  readonly kind: string
  /** To be claimed now; those whose lease has run out among them. */
  readonly due: number
  /** To be claimed later. */
  readonly delayed: number
  /** With a worker. */
  readonly claimed: number
  /** Given up. */
  readonly dead: number
}

/** The outbox could not be reached, or failed. After a call that ends claims, it is unknown whether they are ended. */
export class OutboxError extends Schema.TaggedError<OutboxError>()("OutboxError", {
  operation: Schema.Literals([
    "claim",
    "extend",
    "complete",
    "release",
    "retry",
    "park",
    "list dead",
    "list",
    "tell what is next",
    "revive",
    "discard",
    "cancel",
    "count"
  ]),
  /** Whether the same call may succeed later, with nothing changed. */
  retryable: Schema.Boolean,
  cause: Schema.Defect()
}) {
  override get message(): string {
    const cause = this.cause instanceof Error ? this.cause.message : String(this.cause)
    return `The outbox failed to ${this.operation}${this.retryable ? " (worth another try)" : ""}: ${cause}`
  }
}

/**
 * Claims that hold no more: another worker has claimed the entry after the lease, or it was completed, retried or parked
 * with this claim before. Nothing was done for these.
 */
export class StaleClaim extends Schema.TaggedError<StaleClaim>()("StaleClaim", {
  entries: Schema.Array(Schema.Struct({ globalPosition: Schema.BigInt, index: Schema.Int }))
}) {
  override get message(): string {
    const entries = this.entries.map(shown).join(", ")
    return `The claim of ${entries} holds no more: the lease ran out and another worker has taken over, or the claim ` +
      "was ended before. Leave the entry to whoever has it now; if work often outlasts its lease, claim for longer"
  }
}

const shown = ({ globalPosition, index }: EntryId): string => `${globalPosition}-${index}`

/**
 * The same for every attempt at an entry, and for no other entry of the same log: what to send along, so that whoever
 * does the work can tell that it is done already.
 *
 * @example
 * ```ts
 * import * as Outbox from "@composable-ts/core/Outbox"
 *
 * Outbox.idempotencyKey({ globalPosition: 42n, index: 0 }) // => "42-0"
 * ```
 */
export const idempotencyKey = (entry: EntryId): string => shown(entry)

/** What an implementation of the outbox provides. */
export interface Operations {
  /**
   * Takes entries that are due, those that are due for longest first, for this worker alone until the lease runs out. It
   * waits for nothing: entries that others are just claiming are passed over, and without any that are due it is empty.
   */
  readonly claim: (
    options: ClaimOptions
  ) => Effect.Effect<ReadonlyArray<Claim>, OutboxError>
  /**
   * Lengthens leases: from now on for so long. Of several claims those that hold are lengthened, and the others are in the
   * error.
   */
  readonly extend: (
    claims: ReadonlyArray<ClaimRef>,
    lease: Duration.Input
  ) => Effect.Effect<void, StaleClaim | OutboxError>
  /** Removes what is done. Of several claims those that hold are completed, and the others are in the error. */
  readonly complete: (claims: ReadonlyArray<ClaimRef>) => Effect.Effect<void, StaleClaim | OutboxError>
  /**
   * Gives entries back undone, due at once, and with the attempt not counted: for a worker that stops. Claims that hold no
   * more are passed over.
   */
  readonly release: (claims: ReadonlyArray<ClaimRef>) => Effect.Effect<void, OutboxError>
  /** Gives an entry back, to be claimed again after a while. */
  readonly retry: (claim: ClaimRef, options: RetryOptions) => Effect.Effect<void, StaleClaim | OutboxError>
  /** Gives an entry up: it is dead until it is revived. */
  readonly park: (claim: ClaimRef, error: string) => Effect.Effect<void, StaleClaim | OutboxError>
  /** Entries that were given up, in the order of positions. */
  readonly dead: (options: DeadOptions) => Effect.Effect<ReadonlyArray<DeadEntry>, OutboxError>
  /** Entries that nobody has completed, in the order of positions. It looks at each: for operators. */
  readonly list: (options: ListOptions) => Effect.Effect<ReadonlyArray<ListedEntry>, OutboxError>
  /** What is to be done next, of these kinds or of all. */
  readonly agenda: (kinds?: ReadonlyArray<string>) => Effect.Effect<Agenda, OutboxError>
  /** Makes dead entries due at once, with all their attempts before them; says how many of these were dead. */
  readonly revive: (entries: ReadonlyArray<EntryId>) => Effect.Effect<number, OutboxError>
  /** Removes dead entries for good; says how many of these were dead. */
  readonly discard: (entries: ReadonlyArray<EntryId>) => Effect.Effect<number, OutboxError>
  /**
   * Removes entries that are not dead for good, also from under the worker that has one: its claim is stale then. Says how
   * many of these there were.
   */
  readonly cancel: (entries: ReadonlyArray<EntryId>) => Effect.Effect<number, OutboxError>
  /** How many entries there are, of each kind that has any, by name. It counts them one by one: for operators. */
  readonly counts: Effect.Effect<ReadonlyArray<Counts>, OutboxError>
}

/** All operations of an outbox. */
export interface Service extends Operations {}

/**
 * The entries that commands have stored and nobody has completed. `EventStore.listen` wakes a worker for new ones; what
 * falls due later, or whose lease runs out, nobody announces.
 */
export class Outbox extends Context.Service<Outbox, Service>()("@composable-ts/core/Outbox") {}

const maxErrorLength = 8_000

/** As much of an error as is kept, and nothing that is not text. */
export const kept = (error: string): string => error.slice(0, maxErrorLength).replaceAll(/\0|\p{Surrogate}/gu, "\uFFFD")

/** Such calls are mistakes of the program, and nothing that it could handle. */
const unlessInvalid = <A, E>(issue: string | undefined, effect: () => Effect.Effect<A, E>): Effect.Effect<A, E> =>
  Effect.suspend(() => issue === undefined ? effect() : Effect.die(new TypeError(issue)))

const limitIssue = (limit: number): string | undefined =>
  Number.isSafeInteger(limit) && limit > 0 && limit < 2 ** 31
    ? undefined
    : `a limit of ${limit} entries: it must be a whole number above 0`

const spanIssue = (name: string, span: Duration.Input, least: number): string | undefined => {
  const millis = Duration.toMillis(span)
  return millis >= least && millis <= maxDelay
    ? undefined
    : `${name} of ${millis} ms: it must be from ${least} ms to 100 years`
}

/** The order of entries: that in which they were stored. */
export const byPlace = (a: EntryId, b: EntryId): number =>
  a.globalPosition === b.globalPosition ? a.index - b.index : a.globalPosition < b.globalPosition ? -1 : 1

/** In one order, so that two who end several claims each do not wait for each other. */
const sorted = <A extends EntryId>(entries: ReadonlyArray<A>): ReadonlyArray<A> =>
  entries.length < 2 ? entries : entries.toSorted(byPlace)

/** Completes an implementation's operations into a {@link Service}. A limit or a duration that is none dies. */
export const make = (operations: Operations): Service => ({
  ...operations,
  claim: (options) =>
    unlessInvalid(
      limitIssue(options.limit) ?? spanIssue("a lease", options.lease, 1),
      () => options.kinds?.length === 0 ? Effect.succeed([]) : operations.claim(options)
    ),
  extend: (claims, lease) =>
    unlessInvalid(
      spanIssue("a lease", lease, 1),
      () => claims.length === 0 ? Effect.void : operations.extend(sorted(claims), lease)
    ),
  complete: (claims) => claims.length === 0 ? Effect.void : operations.complete(sorted(claims)),
  release: (claims) => claims.length === 0 ? Effect.void : operations.release(sorted(claims)),
  retry: (claim, { after, error }) =>
    unlessInvalid(
      spanIssue("a delay", after, 0),
      () => operations.retry(claim, { after, error: kept(error) })
    ),
  park: (claim, error) => operations.park(claim, kept(error)),
  dead: (options) => unlessInvalid(limitIssue(options.limit), () => operations.dead(options)),
  list: (options) => unlessInvalid(limitIssue(options.limit), () => operations.list(options)),
  agenda: (kinds) =>
    kinds?.length === 0 ? Effect.succeed({ overdue: undefined, next: undefined }) : operations.agenda(kinds),
  cancel: (entries) => entries.length === 0 ? Effect.succeed(0) : operations.cancel(sorted(entries))
})
