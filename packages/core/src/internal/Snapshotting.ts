/**
 * Snapshots as an aggregate's store uses them: to start a replay behind them, and to take new ones by the policy.
 *
 * They are disposable: whatever is wrong with one, the state follows from the events all the same, so failures here are
 * logged and cost nothing but time.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type * as Schema from "effect/Schema"
import type { Current, History, ReadError } from "../History.ts"
import type { InvalidSnapshot, Policy } from "../Snapshot.ts"
import type { Service, SnapshotStoreError } from "../SnapshotStore.ts"
import type { StreamId } from "../StreamId.ts"
import { jsonCodec } from "./compiled.ts"

/** What a load comes to. */
export interface Loaded<out S> {
  readonly current: Current<S>
  /** The version of the snapshot that there is now; −1 without one. */
  readonly kept: number
}

/** How an aggregate's store loads instances, and when it keeps their states. */
export interface Snapshotting<S> {
  /** The state at the end of the stream, or at a version of it. */
  readonly load: (streamId: StreamId, atMost?: number) => Effect.Effect<Loaded<S>, ReadError>
  /** Keeps the state. */
  readonly save: (streamId: StreamId, current: Current<S>) => Effect.Effect<void, InvalidSnapshot | SnapshotStoreError>
  /** Forgets all states of an instance that was erased. */
  readonly forget: (streamId: StreamId) => Effect.Effect<void, SnapshotStoreError>
  /** Whether it is time to keep a state, when the last one was kept at a version. */
  readonly isDue: (current: Current<S>, last: number) => boolean
}

/** Without a policy every load replays the whole stream. */
export const none = <S, E>(history: History<S, E>): Snapshotting<S> => ({
  load: (streamId, atMost) =>
    Effect.map(history.catchUp(streamId, history.origin, atMost), (current) => ({
      current,
      kept: history.origin.version
    })),
  save: () => Effect.void,
  forget: () => Effect.void,
  isDue: () => false
})

/** Loads start behind the latest snapshot of the policy's state version. */
export const make = <S, E>(history: History<S, E>, store: Service, policy: Policy<S>): Snapshotting<S> => {
  const codec = jsonCodec(policy.state)
  const patience = policy.whenReplayExceeds === undefined
    ? Infinity
    : Duration.toMillis(Duration.fromInputUnsafe(policy.whenReplayExceeds))

  const decode = (state: Schema.Json): Option.Option<S> => {
    const decoded = codec.decode(state)
    return Result.isSuccess(decoded) ? Option.some(decoded.success as S) : Option.none()
  }

  /**
   * The latest snapshot that this log vouches for: its event stands where the snapshot says. Any other is forgotten,
   * because it would stand in the way of new ones: that of a log which was lost, until this one is as long.
   */
  const latest = (streamId: StreamId, atMost?: number): Effect.Effect<Current<S>, ReadError> =>
    Effect.gen(function*() {
      const stateVersion = policy.version
      const found = yield* unlessIll(store.load(streamId, { stateVersion, atMost }), Option.none())
      if (Option.isNone(found)) return history.origin
      const { globalPosition, state: encoded, version } = found.value
      const state = decode(encoded)
      const genuine = yield* history.positionOf(streamId, version)
      if (Option.isSome(state) && genuine === globalPosition) return { state: state.value, version, globalPosition }
      yield* Effect.logWarning(
        `A snapshot of ${streamId} at version ${version} is not of this log or does not decode; it is forgotten`
      )
      yield* unlessIll(store.remove(streamId, { stateVersion }), undefined)
      return history.origin
    })

  const save: Snapshotting<S>["save"] = (streamId, { globalPosition, state, version }) => {
    const encoded = codec.encode(state)
    return Result.isFailure(encoded) ? Effect.die(encoded.failure) : Effect.asVoid(
      store.save({ streamId, version, globalPosition, stateVersion: policy.version, state: encoded.success })
    )
  }

  return {
    load: (streamId, atMost) =>
      Effect.gen(function*() {
        const from = yield* latest(streamId, atMost)
        const clock = yield* Clock.Clock
        const begun = clock.currentTimeMillisUnsafe()
        const current = yield* history.catchUp(streamId, from, atMost)
        const slow = clock.currentTimeMillisUnsafe() - begun > patience && current.version > from.version
        if (!slow || atMost !== undefined) return { current, kept: from.version }
        return yield* Effect.matchCauseEffect(save(streamId, current), {
          onSuccess: () => Effect.succeed({ current, kept: current.version }),
          onFailure: (cause) =>
            Effect.as(Effect.logWarning(`No snapshot of ${streamId} was kept`, cause), { current, kept: from.version })
        })
      }),
    save,
    forget: store.remove,
    isDue: ({ version }, last) => policy.every !== undefined && version - last >= policy.every
  }
}

/** Whatever ails the store of snapshots, the state follows from the events. */
const unlessIll = <A>(effect: Effect.Effect<A, SnapshotStoreError>, otherwise: A): Effect.Effect<A> =>
  Effect.catchCause(
    effect,
    (cause) =>
      Cause.hasInterruptsOnly(cause)
        ? Effect.interrupt
        : Effect.as(Effect.logWarning("The snapshot store failed, so a stream is replayed", cause), otherwise)
  )
