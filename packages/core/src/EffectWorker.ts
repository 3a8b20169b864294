/**
 * Carries out the effects that durable aggregates have stored: claims what is due, runs the handlers of tasks, dispatches
 * commands, and reports outcomes. Any number of workers share the work, in any number of processes.
 *
 * Each effect is carried out at least once, and has one recorded outcome: the events that its outcome leads to are stored
 * in the commit that completes it. A worker that vanishes leaves its claims to others when their leases run out.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Formatter from "effect/Formatter"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { hasProperty } from "effect/Predicate"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import { type AnyDurableAggregate, commandId, type DurableAggregate } from "./DurableAggregate.ts"
import { EventBus } from "./EventBus.ts"
import { type AppendOptions, EventStore } from "./EventStore.ts"
import { type EventStoreError, Overloaded, VersionConflict } from "./EventStoreError.ts"
import type * as Fx from "./Fx.ts"
import { Completions } from "./internal/Completions.ts"
import { type Deed, traceOf } from "./internal/durableFx.ts"
import * as EffectMetrics from "./internal/effectMetrics.ts"
import { dispatcherKey } from "./internal/Interpreter.ts"
import { reasonOf } from "./internal/refusal.ts"
import { retryDelay } from "./internal/retryDelay.ts"
import * as Message from "./Message.ts"
import * as Outboxes from "./Outbox.ts"
import type { Outcome } from "./Reducer.ts"
import type { SnapshotStore } from "./SnapshotStore.ts"
import { StoreClosed } from "./StoreError.ts"
import { id as instanceId, type StreamId } from "./StreamId.ts"
import { type AnyTask, Attempt, handlerKey, type Perform } from "./Task.ts"
import * as TraceContext from "./TraceContext.ts"
import * as UuidV7 from "./UuidV7.ts"

/** How a worker works. */
export interface Options {
  /** How many effects are under way at once, at the most. Default 128. */
  readonly concurrency?: number | undefined
  /**
   * For how long an effect is this worker's; it is renewed while the effect is under way. What a worker had that vanished
   * is begun again by another after that time. Default 30 seconds.
   */
  readonly lease?: Duration.Input | undefined
  /**
   * When to try again what failed for another reason than a task's declared failure: a handler that died, a store that is
   * away. Default: 20 times, from 200 ms on, doubling, at most 30 seconds apart.
   */
  readonly retry?: Schedule.Schedule<unknown> | undefined
  /**
   * How often to look for what is due, even if nothing said so. New effects and those that fall due are not waited for
   * that long. Default 1 second.
   */
  readonly poll?: Duration.Input | undefined
  /** How long the end of the scope waits for effects under way, before it gives them back. Default 5 seconds. */
  readonly deadline?: Duration.Input | undefined
}

const defaultRetry = Schedule.min([Schedule.exponential("200 millis"), Schedule.spaced("30 seconds")]).pipe(
  Schedule.upTo({ times: 20 })
)

/** What it takes to carry out the effects of durable aggregates: the stores of all that are involved, and all handlers. */
export type NeedsOf<D extends AnyDurableAggregate> =
  | EventStore
  | Outboxes.Outbox
  | (D extends DurableAggregate<infer _S, infer C, infer _E, infer _R, infer N>
    ? Fx.Dispatcher<C> | Exclude<N, Scope.Scope | SnapshotStore>
    : never)

/** What a store of aggregates does for a worker. */
interface Dispatching {
  readonly dispatch: (
    id: string,
    command: unknown,
    options: AppendOptions
  ) => Effect.Effect<{ readonly events: ReadonlyArray<unknown>; readonly duplicate: boolean }, unknown>
  readonly state: (id: string) => Effect.Effect<unknown, unknown>
}

/** An effect that is under way. */
interface Running {
  readonly claim: Outboxes.Claim
  fiber: Fiber.Fiber<unknown> | undefined
}

/** What is wrong, in words. A refusal is a plain record, of which `String` tells nothing. */
const said = (error: unknown): string => error instanceof Error ? String(error) : Formatter.format(error)

/** Whether the same may succeed later, with nothing changed. */
const mayPass = (error: unknown): boolean =>
  error instanceof Overloaded || error instanceof VersionConflict || error instanceof StoreClosed ||
  (hasProperty(error, "retryable") && error.retryable === true)

/**
 * The longest pause before another look, in milliseconds, where several in a row have found nothing: a log that is busy
 * with other things is not to be looked at behind each append, and a saga is not to wait at each of its hops.
 */
const breather = 5

/** Waits while the outbox is away. */
const patiently = <A>(effect: Effect.Effect<A, Outboxes.OutboxError>): Effect.Effect<A, Outboxes.OutboxError> =>
  Effect.retry(
    Effect.tapError(effect, (error) => error.retryable ? Effect.logWarning(error.message) : Effect.void),
    {
      schedule: Schedule.min([Schedule.exponential("50 millis"), Schedule.spaced("1 second")]),
      while: ({ retryable }) => retryable
    }
  )

const refOf = ({ globalPosition, index, token }: Outboxes.Claim): Outboxes.ClaimRef => ({
  globalPosition,
  index,
  token
})

/**
 * Carries out the effects of these aggregates, until it is interrupted: then it waits for what is under way, until the
 * deadline, and gives the rest back. While the outbox is away it waits; it fails when the outbox fails otherwise.
 */
export const run = <const D extends ReadonlyArray<AnyDurableAggregate>>(
  aggregates: D,
  options: Options = {}
): Effect.Effect<never, Outboxes.OutboxError | EventStoreError, NeedsOf<D[number]>> =>
  Effect.scoped(Effect.gen(function*() {
    const { concurrency = 128, deadline = "5 seconds", lease = "30 seconds", poll = "1 second", retry = defaultRetry } =
      options
    const outbox = yield* Outboxes.Outbox
    const events = yield* EventStore
    const context = yield* Effect.context<NeedsOf<D[number]>>()
    const clock = yield* Clock.Clock
    const now = () => clock.currentTimeMillisUnsafe()
    const fork = Effect.runForkWith(context)
    const worker = UuidV7.make(now())
    const metrics = EffectMetrics.make(worker, context)
    const completions = new Completions(outbox, fork)
    const byKind = new Map<string, AnyDurableAggregate>()
    for (const aggregate of aggregates) for (const kind of aggregate.kinds) byKind.set(kind, aggregate)
    const kinds = [...byKind.keys()]

    const running = new Map<string, Running>()
    const wake = Latch.makeUnsafe()
    const room = Latch.makeUnsafe(true)

    type Carried = Effect.Effect<void, Outboxes.StaleClaim | Outboxes.OutboxError>

    const dispatcher = (category: string): Dispatching => context.mapUnsafe.get(dispatcherKey(category)) as Dispatching

    const ended = (claim: Outboxes.Claim, how: EffectMetrics.Ended) => Effect.sync(() => metrics.ended(claim.kind, how))

    const complete = (claim: Outboxes.Claim): Carried =>
      Effect.andThen(completions.complete(refOf(claim)), ended(claim, "completed"))

    const park = (claim: Outboxes.Claim, error: string): Carried =>
      Effect.andThen(outbox.park(claim, error), ended(claim, "dead"))

    /** Tries the whole effect again by a schedule, and gives it up behind its end. */
    const tryLater = (
      claim: Outboxes.Claim,
      schedule: Schedule.Schedule<unknown>,
      error: unknown,
      exhausted: Carried
    ): Carried =>
      Effect.flatMap(retryDelay(schedule, claim.attempt, error), (after) =>
        after === undefined
          ? exhausted
          : Effect.andThen(
            outbox.retry(claim, { after: Math.min(after, Outboxes.maxDelay), error: said(error) }),
            ended(claim, "retried")
          ))

    /** What a failure means that no action reports. */
    const failed = (claim: Outboxes.Claim, cause: Cause.Cause<unknown>): Carried => {
      const error = Cause.squash(cause)
      if (error instanceof Outboxes.StaleClaim) return Effect.fail(error)
      // What died may do better next time; what was declared to go wrong says itself whether it will.
      return Option.isSome(Cause.findErrorOption(cause)) && !mayPass(error)
        ? park(claim, said(error))
        : tryLater(claim, retry, error, park(claim, said(error)))
    }

    interface Dispatch {
      readonly category: string
      readonly id: string
      readonly command: unknown
      readonly commandId: string
      /** Why the entry is given up all the same. */
      readonly deadBecause?: string
      readonly refused: (reason: unknown) => Carried
    }

    /** Dispatches a command, and ends the claim in the commit of its events; or by itself, if there are none. */
    const settle = (
      claim: Outboxes.Claim,
      { category, command, commandId, deadBecause, id, refused }: Dispatch
    ): Carried => {
      const alone = deadBecause === undefined ? complete(claim) : park(claim, deadBecause)
      const dispatched = Effect.suspend(() =>
        dispatcher(category).dispatch(id, command, {
          commandId,
          correlationId: claim.correlationId,
          causationId: claim.commandId,
          settles: [{ ...refOf(claim), deadBecause }]
        })
      )
      return Effect.matchCauseEffect(dispatched, {
        onSuccess: ({ duplicate, events }) =>
          events.length === 0 || duplicate ? alone : ended(claim, deadBecause === undefined ? "completed" : "dead"),
        onFailure: (cause) => {
          const refusal = reasonOf(cause)
          return Option.isSome(refusal) ? refused(refusal.value) : failed(claim, cause)
        }
      })
    }

    /** Sends a command to the instance that stored the entry. */
    const answer = (
      claim: Outboxes.Claim,
      { aggregate: { category } }: AnyDurableAggregate,
      command: { readonly _tag: string },
      { deadBecause, suffix = "" }: { readonly deadBecause?: string; readonly suffix?: string } = {}
    ): Carried =>
      settle(claim, {
        category,
        id: instanceId(claim.streamId as StreamId),
        command,
        commandId: `${commandId(claim)}${suffix}`,
        ...deadBecause !== undefined && { deadBecause },
        refused: (reason) => park(claim, `${command._tag} was refused: ${said(reason)}`)
      })

    const perform = (
      claim: Outboxes.Claim,
      owner: AnyDurableAggregate,
      { input, task }: Extract<Deed, { readonly _tag: "Perform" }>
    ): Carried => {
      // The worker's type holds both: its context has the handler, and its aggregate the outcome.
      const handler = context.mapUnsafe.get(handlerKey(task.name)) as Perform<AnyTask>
      const outcome = owner.aggregate.outcomes[task.name] as Outcome<AnyTask, { readonly _tag: string }>
      const attempt = { idempotencyKey: Outboxes.idempotencyKey(claim), number: claim.attempt }
      return Effect.matchCauseEffect(Effect.provideService(Effect.suspend(() => handler(input)), Attempt, attempt), {
        onSuccess: (value) => answer(claim, owner, outcome.success(value, input)),
        onFailure: (cause): Carried => {
          const failure = Cause.findErrorOption(cause)
          if (Option.isNone(failure)) return failed(claim, cause)
          const error: unknown = failure.value
          const reported = (deadBecause?: string) =>
            answer(
              claim,
              owner,
              outcome.failure(error as never, input),
              deadBecause === undefined ? {} : { deadBecause }
            )
          const again = task.retry
          return again === undefined || again.while?.(error as never) === false
            ? reported()
            : tryLater(claim, again.schedule, error, Effect.suspend(() => reported(said(error))))
        }
      })
    }

    const dispatch = (
      claim: Outboxes.Claim,
      owner: AnyDurableAggregate,
      { category, command, id }: Extract<Deed, { readonly _tag: "Dispatch" }>
    ): Carried =>
      settle(claim, {
        category,
        id,
        command,
        commandId: commandId(claim),
        refused: (reason) => {
          const refused = owner.targets.get(category)?.refused
          if (refused === undefined) return park(claim, `${category} ${id} refused: ${said(reason)}`)
          const command_ = { reason, command, id } as never
          return Effect.suspend(() => answer(claim, owner, refused(command_), { suffix: ":rejected" }))
        }
      })

    const carryOut = (claim: Outboxes.Claim, owner: AnyDurableAggregate, deed: Deed): Carried => {
      const then = <E>(effect: Effect.Effect<unknown, E>): Carried =>
        Effect.matchCauseEffect(effect, {
          onSuccess: () => complete(claim),
          onFailure: (cause) => failed(claim, cause)
        })
      const { correlationId } = claim
      const ids = { correlationId, causationId: claim.commandId }
      switch (deed._tag) {
        case "Perform":
          return perform(claim, owner, deed)
        case "Send":
          return answer(claim, owner, deed.command as { readonly _tag: string })
        case "Dispatch":
          return dispatch(claim, owner, deed)
        case "Publish": {
          const bus = context.mapUnsafe.get(EventBus.key) as Context.Service.Shape<typeof EventBus>
          const key = deed.key ?? claim.streamId
          return then(
            bus.publish(deed.topic, Message.make(deed.event, { id: commandId(claim), time: claim.dueAt, ...ids, key }))
          )
        }
        case "Load":
          return Effect.matchCauseEffect(Effect.suspend(() => dispatcher(deed.category).state(deed.id)), {
            onSuccess: (current) =>
              answer(claim, owner, { _tag: deed.as, id: deed.id, current } as { readonly _tag: string }),
            onFailure: (cause) => failed(claim, cause)
          })
        case "Transact":
          return Effect.matchCauseEffect(
            events.transact(deed.appends, { commandId: commandId(claim), ...ids, settles: [refOf(claim)] }),
            {
              onSuccess: ([{ duplicate }]) => duplicate ? complete(claim) : ended(claim, "completed"),
              onFailure: (cause) => failed(claim, cause)
            }
          )
      }
    }

    const traced = (claim: Outboxes.Claim, effect: Carried): Carried => {
      if (!TraceContext.isTraced(context)) return effect
      const parent = TraceContext.parse(traceOf(claim))
      return Effect.withSpan(effect, `EffectWorker ${claim.kind}`, {
        kind: "consumer",
        attributes: { "composable.stream": claim.streamId, "composable.attempt": claim.attempt },
        ...parent !== undefined && { parent }
      })
    }

    /** One attempt, from the claim to its end, whatever happens; what cannot be recorded is begun again by somebody. */
    const attempt = (claim: Outboxes.Claim): Effect.Effect<void> => {
      const owner = byKind.get(claim.kind)!
      const carried = Effect.suspend(() => {
        const deed = owner["~effects"].read(claim)
        return Result.isSuccess(deed) ? carryOut(claim, owner, deed.success) : park(claim, deed.failure)
      })
      return traced(claim, carried).pipe(
        // An outcome's function may throw, and so may what the caller gave us.
        Effect.catchDefect((defect) => failed(claim, Cause.die(defect))),
        Effect.catchTag("StaleClaim", () => ended(claim, "lost")),
        Effect.catchCause((cause) =>
          Cause.hasInterruptsOnly(cause)
            ? Effect.void
            : Effect.logWarning(
              `How ${claim.kind} of ${claim.streamId} went could not be recorded; it is begun again`,
              cause
            )
        )
      )
    }

    const start = (claim: Outboxes.Claim): void => {
      const key = Outboxes.idempotencyKey(claim)
      const one: Running = { claim, fiber: undefined }
      running.set(key, one)
      metrics.claimed(claim.kind)
      const over = Effect.sync(() => {
        if (running.get(key) === one) running.delete(key)
        room.openUnsafe()
      })
      one.fiber = fork(Effect.ensuring(attempt(claim), over))
    }

    /** Keeps the leases of what is under way; whoever has lost one stops. */
    const renew = Effect.gen(function*() {
      const claims = [...running.values()].map(({ claim }) => refOf(claim))
      const result = yield* Effect.result(outbox.extend(claims, lease))
      if (Result.isSuccess(result)) return
      const { failure } = result
      if (failure._tag === "OutboxError") return yield* Effect.logWarning(failure.message)
      for (const entry of failure.entries) {
        const lost = running.get(Outboxes.idempotencyKey(entry))
        // It may have ended by itself meanwhile, and another attempt begun.
        if (lost !== undefined && claims.some(({ token }) => token === lost.claim.token)) lost.fiber?.interruptUnsafe()
      }
    })

    const leave = Effect.gen(function*() {
      const fibersOf = () => [...running.values()].flatMap(({ fiber }) => fiber ?? [])
      yield* Effect.timeoutOption(Effect.suspend(() => Fiber.awaitAll(fibersOf())), deadline)
      const left = [...running.values()].map(({ claim }) => claim)
      yield* Fiber.interruptAll(fibersOf())
      yield* Effect.catchTag(
        outbox.release(left),
        "OutboxError",
        (error) =>
          Effect.logWarning("What was under way is not given back, others begin it when its leases run out", error)
      )
    })

    yield* Effect.addFinalizer(() => leave)
    const appended = yield* events.listen
    yield* Effect.forkScoped(Effect.forever(Effect.andThen(appended, Effect.sync(() => wake.openUnsafe()))))
    yield* Effect.forkScoped(
      Effect.forever(Effect.andThen(Effect.sleep(Duration.divideUnsafe(Duration.fromInputUnsafe(lease), 3)), renew))
    )
    const most = Duration.toMillis(Duration.fromInputUnsafe(poll))

    let fruitless = 0
    const round = Effect.gen(function*() {
      if (running.size >= concurrency) {
        room.closeUnsafe()
        yield* room.await
      }
      wake.closeUnsafe()
      // What was claimed is begun, whatever interrupts: else it would be nobody's until its lease runs out.
      const claims = yield* patiently(Effect.uninterruptible(Effect.tap(
        outbox.claim({ kinds, limit: concurrency - running.size, lease, worker }),
        (claims) => Effect.sync(() => claims.forEach(start))
      )))
      if (claims.length > 0) {
        fruitless = 0
        return
      }
      fruitless += 1
      const { next, overdue } = yield* patiently(outbox.agenda(kinds))
      metrics.overdue(overdue ?? 0)
      const waitsSince = now()
      yield* Effect.timeoutOption(wake.await, Math.min(next ?? most, most))
      if (now() - waitsSince > breather) fruitless = 0
      else if (fruitless > 1) yield* Effect.sleep(Math.min(fruitless - 1, breather))
    })
    return yield* Effect.forever(round)
  }))

/** Carries out the effects of these aggregates for the length of the layer, see {@link run}. */
export const layer = <const D extends ReadonlyArray<AnyDurableAggregate>>(
  aggregates: D,
  options?: Options
): Layer.Layer<never, never, NeedsOf<D[number]>> =>
  Layer.effectDiscard(
    Effect.forkScoped(
      Effect.tapCause(run(aggregates, options), (cause) =>
        Cause.hasInterruptsOnly(cause)
          ? Effect.void
          : Effect.logError("The worker of stored effects has stopped", cause))
    )
  )

/** How the stored effects of some aggregates are. */
export interface Health {
  /** Whether nothing is dead, and nothing is due for longer than is fine. */
  readonly isWell: boolean
  /** For how long the effect is due that is due for longest, in milliseconds; 0 when none is due. */
  readonly overdue: number
  readonly counts: ReadonlyArray<Outboxes.Counts>
}

/** How the stored effects of these aggregates are. What is due for longer than `tolerance` waits for a worker in vain. */
export const health = (
  aggregates: ReadonlyArray<AnyDurableAggregate>,
  { tolerance = "1 minute" }: { readonly tolerance?: Duration.Input | undefined } = {}
): Effect.Effect<Health, Outboxes.OutboxError, Outboxes.Outbox> =>
  Effect.gen(function*() {
    const outbox = yield* Outboxes.Outbox
    const categories = aggregates.map(({ aggregate }) => `${aggregate.category}/`)
    const isMeant = ({ kind }: Outboxes.Counts) => categories.some((category) => kind.startsWith(category))
    const counts = (yield* outbox.counts).filter(isMeant)
    const { overdue = 0 } = yield* outbox.agenda(counts.map(({ kind }) => kind))
    const isWell = overdue <= Duration.toMillis(tolerance) && counts.every(({ dead }) => dead === 0)
    return { isWell, overdue, counts }
  })
