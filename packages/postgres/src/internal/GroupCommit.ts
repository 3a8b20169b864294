/**
 * Group commit: what callers submit while a commit is under way goes together into the next one. Nothing waits when
 * nothing is under way, and the busier the callers, the larger the groups.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"

declare const performance: { readonly now: () => number }

/** What a caller submits, while it is under way. */
export interface Submission<out In, in out Out, in out E> {
  readonly input: In
  /** Tells the caller its outcome. Only the first call counts. */
  readonly complete: (outcome: Effect.Effect<Out, E>) => void
}

/** How groups are made. */
export interface Limits<in In> {
  /** The most submissions in a group. */
  readonly size: number
  /** The most weight in a group; a heavier submission goes alone. */
  readonly weight: number
  readonly weigh: (input: In) => number
  /** Submissions with equal keys go into different groups, in the order of arrival. */
  readonly key: (input: In) => string
  /** How many submissions may be under way or waiting. */
  readonly capacity: number
  /** How many groups may be under way at once. */
  readonly lanes: number
  /**
   * A group takes no more than its lane's part of all submissions, so that there are some for the other lanes, unless it
   * has fewer than this, or commits are slow.
   */
  readonly share: number
  /**
   * Commits are slow when one takes longer than this for each submission there is, in milliseconds, and longer than
   * {@link slowest}: then it is better to commit everything at once than to have a lane at work while another waits.
   */
  readonly worth: number
}

/** A commit that takes no longer is not slow, in milliseconds. */
export const slowest = 1.5

/** How much of what the last commit took goes into what one takes: enough to follow a disk, too little for a hiccup. */
const weightOfLast = 0.1

/** Who is told what goes on. */
export interface Observer {
  /** A group begins; so many wait for the next. */
  readonly grouped: (size: number, waiting: number) => void
  /** A submission has its outcome, so long after it came. */
  readonly completed: (milliseconds: number) => void
}

/** How much there is to do. */
export interface Queue {
  /** How many submissions wait for a group. */
  readonly waiting: number
  /** How many are in groups that are being committed. */
  readonly underWay: number
}

/** Commits what it is given in groups. */
export interface GroupCommit<in In, out Out, out E> {
  readonly submit: (input: In) => Effect.Effect<Out, E>
  readonly queue: () => Queue
}

type State = "waiting" | "flushing" | "done"

/** When a group went out, and when its first outcome came: what callers do with theirs is not the commit's time. */
interface Flight {
  readonly start: number
  end: number | undefined
}

class Entry<In, Out, E> implements Submission<In, Out, E> {
  state: State = "waiting"
  readonly since = performance.now()
  flight: Flight | undefined = undefined
  readonly input: In
  readonly resume: (outcome: Effect.Effect<Out, E>) => void
  readonly observer: Observer
  onDone: (() => void) | undefined = undefined

  constructor(input: In, resume: (outcome: Effect.Effect<Out, E>) => void, observer: Observer) {
    this.input = input
    this.resume = resume
    this.observer = observer
  }

  readonly complete = (outcome: Effect.Effect<Out, E>): void => {
    if (this.state === "done") return
    if (this.state === "flushing") {
      const now = performance.now()
      this.observer.completed(now - this.since)
      if (this.flight !== undefined) this.flight.end ??= now
    }
    this.state = "done"
    this.resume(outcome)
    this.onDone?.()
  }
}

const forgotten = Effect.die(new Error("A flush completed without telling a submission's outcome"))

/** What to do when the capacity is used up: callers wait for their turn, or fail at once. */
export type WhenFull<E> = "wait" | { readonly fail: () => E }

/** What {@link make} can do without. */
export interface Options<E> {
  /** Default: callers wait. */
  readonly whenFull?: WhenFull<E> | undefined
  readonly observer?: Observer | undefined
}

const unobserved: Observer = { grouped: () => {}, completed: () => {} }

/**
 * Begins to commit groups with `flush`, which must complete every submission that it is given and does not fail. One
 * that it leaves without an outcome, also by dying, dies.
 *
 * Interrupting a caller whose submission still waits takes it back. One that is being flushed cannot be taken back: the
 * interruption then takes effect when its outcome is certain. When the scope closes, what is being flushed is waited
 * for, and callers that wait, or come later, are interrupted.
 */
export const make = <In, Out, E>(
  limits: Limits<In>,
  flush: (group: ReadonlyArray<Submission<In, Out, E>>) => Effect.Effect<void>,
  { observer = unobserved, whenFull = "wait" }: Options<E> = {}
): Effect.Effect<GroupCommit<In, Out, E>, never, Scope.Scope> =>
  Effect.gen(function*() {
    type Waiting = Entry<In, Out, E>
    let waiting: Array<Waiting> = []
    let underWay = 0
    let closed = false
    const idle: Array<() => void> = []
    const betweenCommits: Array<() => void> = []
    let commitTime = 0
    let lastEnd = 0
    const room = Semaphore.makeUnsafe(limits.capacity)

    const isSlow = (): boolean => commitTime > Math.max(slowest, (waiting.length + underWay) * limits.worth)

    /** What a commit took, without the time that it waited for the one before it. */
    const committed = ({ end = performance.now(), start }: Flight): void => {
      commitTime += (end - Math.max(start, lastEnd) - commitTime) * weightOfLast
      lastEnd = end
    }

    const takeGroup = (): ReadonlyArray<Waiting> => {
      const group: Array<Waiting> = []
      const left: Array<Waiting> = []
      const keys = new Set<string>()
      const all = waiting.length + underWay
      const part = isSlow() ? all : Math.ceil(all / limits.lanes)
      const size = Math.min(limits.size, Math.max(limits.share, part))
      let weight = 0
      for (const entry of waiting) {
        const key = limits.key(entry.input)
        const entryWeight = limits.weigh(entry.input)
        const fits = group.length === 0 ||
          (left.length === 0 && group.length < size && weight + entryWeight <= limits.weight)
        if (fits && !keys.has(key)) {
          entry.state = "flushing"
          group.push(entry)
          keys.add(key)
          weight += entryWeight
        } else {
          left.push(entry)
        }
      }
      waiting = left
      return group
    }

    const awaitWork = Effect.callback<void>((resume) => {
      if (waiting.length > 0) return resume(Effect.void)
      idle.push(() => resume(Effect.void))
    })

    const awaitEnd = Effect.callback<void>((resume) => {
      if (underWay === 0) return resume(Effect.void)
      betweenCommits.push(() => resume(Effect.void))
    })

    const commit = (group: ReadonlyArray<Waiting>): Effect.Effect<void> =>
      Effect.matchCause(Effect.suspend(() => flush(group)), {
        onSuccess: () => group.forEach((entry) => entry.complete(forgotten)),
        onFailure: (cause) => group.forEach((entry) => entry.complete(Effect.failCause(cause)))
      })

    const lane = Effect.gen(function*() {
      while (true) {
        yield* awaitWork
        // The callers that the last group released are resumed in this very turn: let them submit before the next one.
        yield* Effect.yieldNow
        if (underWay > 0 && waiting.length < limits.size && isSlow()) {
          yield* awaitEnd
          continue
        }
        const group = takeGroup()
        if (group.length === 0) continue
        observer.grouped(group.length, waiting.length)
        underWay += group.length
        const flight: Flight = { start: performance.now(), end: undefined }
        for (const entry of group) entry.flight = flight
        yield* Effect.uninterruptible(commit(group))
        underWay -= group.length
        committed(flight)
        betweenCommits.splice(0).forEach((go) => go())
      }
    })
    const queue = (): Queue => ({ waiting: waiting.length, underWay })
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        closed = true
        waiting.forEach((entry) => entry.complete(Effect.interrupt))
      })
    )
    for (let i = 0; i < limits.lanes; i++) yield* Effect.forkScoped(lane)

    const submit = (input: In): Effect.Effect<Out, E> =>
      Effect.callback<Out, E>((resume) => {
        if (closed) return resume(Effect.interrupt)
        const entry: Waiting = new Entry(input, resume, observer)
        waiting.push(entry)
        idle.pop()?.()
        return Effect.callback<void>((released) => {
          if (entry.state === "waiting") waiting = waiting.filter((other) => other !== entry)
          if (entry.state === "flushing") entry.onDone = () => released(Effect.void)
          else released(Effect.void)
        })
      })
    if (whenFull === "wait") return { queue, submit: (input) => room.withPermit(submit(input)) }
    const ifRoom = room.withPermitsIfAvailable(1)
    return {
      queue,
      submit: (input) =>
        Effect.flatMap(ifRoom(submit(input)), (outcome) =>
          Option.isSome(outcome) ? Effect.succeed(outcome.value) : Effect.fail(whenFull.fail()))
    }
  })
