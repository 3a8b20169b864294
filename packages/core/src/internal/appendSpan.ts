/**
 * The span of an append.
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Effect from "effect/Effect"
import * as Tracer from "effect/Tracer"
import type { AppendResult, StreamAppend } from "../EventStore.ts"
import * as ExpectedVersion from "../ExpectedVersion.ts"

const inSpan = <E>(
  appends: NonEmptyReadonlyArray<StreamAppend>,
  append: Effect.Effect<NonEmptyReadonlyArray<AppendResult>, E>
): Effect.Effect<NonEmptyReadonlyArray<AppendResult>, E> =>
  Effect.withSpan(
    Effect.tap(append, (results) =>
      Effect.annotateCurrentSpan({
        "composable.version": results.map(({ version }) => version).join(", "),
        "composable.position": String(results.at(-1)!.globalPosition),
        "composable.duplicate": results[0].duplicate
      })),
    "EventStore.append",
    {
      attributes: {
        "composable.stream": appends.map(({ streamId }) => streamId).join(", "),
        "composable.expected": appends.map(({ expected }) => ExpectedVersion.format(expected)).join(", ")
      }
    }
  )

/** Puts an append into a span `EventStore.append`, unless nobody traces: Effect's own tracer keeps none. */
export const traced = <E>(
  appends: NonEmptyReadonlyArray<StreamAppend>,
  append: Effect.Effect<NonEmptyReadonlyArray<AppendResult>, E>
): Effect.Effect<NonEmptyReadonlyArray<AppendResult>, E> =>
  Effect.withFiber((fiber) => fiber.getRef(Tracer.Tracer) === Tracer.nativeTracer ? append : inSpan(appends, append))
