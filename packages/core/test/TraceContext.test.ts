import * as Action from "@composable-ts/core/Action"
import * as Event from "@composable-ts/core/Event"
import * as ExpectedVersion from "@composable-ts/core/ExpectedVersion"
import * as MemoryEventStore from "@composable-ts/core/MemoryEventStore"
import * as StreamId from "@composable-ts/core/StreamId"
import * as TraceContext from "@composable-ts/core/TraceContext"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Result, Stream, Tracer } from "effect"

const Log = Action.define("Log", { commands: {}, events: { Noted: Event.v1({}) } })
const noted = Result.getOrThrow(Log.encode(Log.Noted({})))
const stream = Result.getOrThrow(StreamId.make("log", "1"))

const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

/** A tracer that keeps its spans, as an exporter does. */
const collecting = () => {
  const spans: Array<Tracer.Span> = []
  const tracer = Tracer.make({
    span: (options) => {
      const span = new Tracer.NativeSpan(options)
      spans.push(span)
      return span
    }
  })
  return { spans, traced: Effect.provideService(Tracer.Tracer, tracer) }
}

/** What an append under these circumstances stores beside its event. */
const storedMetadata = (
  around: (append: Effect.Effect<unknown, unknown>) => Effect.Effect<unknown, unknown>,
  metadata = {}
) =>
  Effect.gen(function*() {
    const store = yield* MemoryEventStore.make
    yield* around(store.append(stream, ExpectedVersion.any, [noted], { metadata }))
    return (yield* store.read(stream))[0]!
  })

describe("the trace parent", () => {
  it("is read and written in the form of the W3C", () => {
    const span = TraceContext.parse(traceparent)
    assert.deepInclude(span, {
      traceId: "4bf92f3577b34da6a3ce929d0e0e4736",
      spanId: "00f067aa0ba902b7",
      sampled: true
    })
    assert.strictEqual(TraceContext.format(span!), traceparent)
    assert.isFalse(TraceContext.parse(traceparent.replace(/01$/, "00"))?.sampled)
  })

  it("that is none is none", () => {
    for (
      const text of [
        undefined,
        7,
        "",
        traceparent.slice(1),
        traceparent.toUpperCase(),
        `00-${"0".repeat(32)}-00f067aa0ba902b7-01`,
        `00-4bf92f3577b34da6a3ce929d0e0e4736-${"0".repeat(16)}-01`
      ]
    ) assert.isUndefined(TraceContext.parse(text))
    assert.isUndefined(TraceContext.format(Tracer.externalSpan({ traceId: "7", spanId: "8", sampled: true })))
  })

  it.effect("of an append is stored beside its events, and a handler's span links to it", () =>
    Effect.gen(function*() {
      const { spans, traced } = collecting()
      const event = yield* storedMetadata((append) => traced(Effect.withSpan(append, "cause")))
      const cause = spans.find(({ name }) => name === "EventStore.append")
      assert.strictEqual(cause?.parent._tag, "Some")
      assert.strictEqual(event.metadata.traceparent, `00-${cause?.traceId}-${cause?.spanId}-01`)
      yield* traced(Effect.withSpan(Effect.void, "handle", { links: TraceContext.links([event, event]) }))
      const links = spans.find(({ name }) => name === "handle")?.links
      assert.deepStrictEqual(links?.map(({ span }) => [span.traceId, span.spanId]), [[cause?.traceId, cause?.spanId]])
    }))

  it.effect("does not displace the appender's own, nor its other metadata", () =>
    Effect.gen(function*() {
      const { traced } = collecting()
      const inSpan = (append: Effect.Effect<unknown, unknown>) => traced(Effect.withSpan(append, "cause"))
      assert.deepStrictEqual((yield* storedMetadata(inSpan, { traceparent })).metadata, { traceparent })
      const { metadata } = yield* storedMetadata(inSpan, { user: "ann" })
      assert.deepStrictEqual(Object.keys(metadata), ["user", "traceparent"])
    }))

  it.effect("is not stored where nobody traces, or samples", () =>
    Effect.gen(function*() {
      const { traced } = collecting()
      for (
        const around of [
          Effect.withSpan("cause"),
          (append: Effect.Effect<unknown, unknown>) => traced(Effect.withSpan(append, "cause", { sampled: false })),
          (append: Effect.Effect<unknown, unknown>) =>
            traced(Effect.withTracerEnabled(Effect.withSpan(append, "cause"), false))
        ]
      ) assert.deepStrictEqual((yield* storedMetadata(around)).metadata, {})
    }))
})

describe("reading, traced", () => {
  it.effect("tells what was asked for and what was found", () =>
    Effect.gen(function*() {
      const { spans, traced } = collecting()
      const store = yield* MemoryEventStore.make
      yield* store.append(stream, ExpectedVersion.any, [noted, noted, noted])
      yield* traced(Effect.gen(function*() {
        yield* store.read(stream, { from: 1 })
        yield* store.readAll({ after: 0n, limit: 2 })
        yield* Stream.runDrain(Stream.take(store.subscribe({ after: 1n, name: "mails" }), 2))
      }))
      const told = spans.map(({ attributes, name }) => [name, Object.fromEntries(attributes)])
      assert.deepStrictEqual(told, [
        ["EventStore.read", {
          "composable.stream": "log-1",
          "composable.from": 1,
          "composable.direction": "forwards",
          "composable.count": 2
        }],
        ["EventStore.readAll", {
          "composable.after": 0n,
          "composable.limit": 2,
          "composable.count": 2,
          "composable.position": 2n,
          "composable.head": 3n
        }],
        ["EventStore.subscribe", {
          "composable.subscription": "mails",
          "composable.after": 1n,
          "composable.count": 2,
          "composable.position": 3n,
          "composable.head": 3n
        }]
      ])
      assert.isTrue(spans.every(({ status }) => status._tag === "Ended"))
    }))
})
