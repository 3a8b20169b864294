import * as Action from "@composable-ts/core/Action"
import * as Aggregate from "@composable-ts/core/Aggregate"
import * as Compose from "@composable-ts/core/Compose"
import * as Event from "@composable-ts/core/Event"
import * as Fx from "@composable-ts/core/Fx"
import * as Reducer from "@composable-ts/core/Reducer"
import * as Source from "@composable-ts/core/Source"
import * as Task from "@composable-ts/core/Task"
import * as Scenario from "@composable-ts/testing/Scenario"
import { assert, describe, it } from "@effect/vitest"
import { Effect, HashMap, Schema } from "effect"

const Search = Task.define("Search", {
  input: Schema.Struct({ text: Schema.String }),
  success: Schema.Array(Schema.String),
  failure: Schema.TaggedStruct("Offline", {})
})
const Prices = Source.define("Prices", {
  input: Schema.String,
  value: Schema.Int,
  failure: Schema.TaggedStruct("Closed", {})
})

interface State {
  readonly text: string
  readonly found: ReadonlyArray<string>
  readonly note: string
}
type Action =
  | { readonly _tag: "Typed"; readonly text: string }
  | { readonly _tag: "Searched"; readonly text: string }
  | { readonly _tag: "Found"; readonly text: string; readonly found: ReadonlyArray<string> }
  | { readonly _tag: "Failed"; readonly why: string }
  | { readonly _tag: "Noted"; readonly note: string }
  | { readonly _tag: "Do"; readonly fx: Wanted }
  | { readonly _tag: "Throw" }
type Wanted = Fx.Nested<
  | Fx.None
  | Fx.Reject<{ readonly _tag: "Empty" }>
  | Fx.Send<Action>
  | Fx.Perform<typeof Search>
  | Fx.Subscribe<typeof Prices>
  | Fx.Publish
  | Fx.Load<Action, unknown>
  | Fx.Run<Action, never>
  | Fx.Delay<Action>
  | Fx.Throttle<Action>
  | Fx.Cancel
  | Fx.CancelAll
>

const initial: State = { text: "", found: [], note: "" }
const typed = (text: string): Action => ({ _tag: "Typed", text })
const noted = (note: string): Action => ({ _tag: "Noted", note })
const does = (fx: Wanted): Action => ({ _tag: "Do", fx })
const failed = (why: string): Action => ({ _tag: "Failed", why })
const foundFor = (text: string, ...found: ReadonlyArray<string>): Action => ({ _tag: "Found", text, found })
const searching = (text: string, id?: string) => Fx.perform(Search, { text }, id === undefined ? {} : { id })

/** Types, waits a while, searches, shows the newest search's answer. */
const search = Reducer.withOutcomes(
  (state: State, action: Action, meta): Reducer.Step<State, Wanted> => {
    switch (action._tag) {
      case "Typed":
        if (action.text === "") return [state, Fx.reject({ _tag: "Empty" })]
        return [{ ...state, text: action.text }, Fx.debounce("typing", 300, { _tag: "Searched", text: action.text })]
      case "Searched":
        return [state, searching(action.text, "search")]
      case "Found":
        return [{ ...state, found: action.found, note: `found at ${meta.time}` }, Fx.none]
      case "Failed":
        return [{ ...state, note: action.why }, Fx.none]
      case "Noted":
        return [{ ...state, note: action.note }, Fx.none]
      case "Do":
        return [state, action.fx]
      case "Throw":
        throw new TypeError("no such place")
    }
  },
  {
    Search: {
      success: (found, { text }) => foundFor(text, ...found),
      failure: (_offline, { text }) => failed(`offline: ${text}`)
    },
    Prices: {
      value: (price, name) => noted(`${name} ${price}`),
      failure: () => failed("closed"),
      end: () => noted("end")
    }
  }
)

type Telling = Parameters<typeof tell>[0]
const tell = (story: (story: Scenario.StoryOf<typeof search, {}>) => void, from: State = initial): void =>
  Scenario.run(search, { initial: from }, story)

/** What a broken story says. */
const complaint = (run: () => void): Scenario.StoryBroken => {
  try {
    run()
  } catch (error) {
    assert.instanceOf(error, Scenario.StoryBroken)
    assert.match(error.message, /\nLikely cause: .+\nWay out: .+/)
    return error
  }
  return assert.fail("the story is true")
}
const complains = (story: Telling): string => complaint(() => tell(story)).message

const lines = (error: Error): ReadonlyArray<string> =>
  (error.stack ?? "").split("\n").filter((line) => /^\s+at /.test(line))

/** The line of this file from which it is called, as a trace names it. */
const here = (): string => /Scenario\.test\.ts:\d+/.exec(lines(new Error("here"))[1] ?? "")?.[0] ?? assert.fail()

const plus = (place: string, more: number): string => place.replace(/\d+$/, (line) => String(Number(line) + more))

describe("a story that is true", () => {
  it("goes through typing, waiting, searching and finding", () =>
    tell((story) => {
      story.send(typed("te"), {
        state: { ...initial, text: "te" },
        fx: Fx.debounce("typing", 300, { _tag: "Searched", text: "te" })
      })
      story.advance("200 millis")
      story.send(typed("tea"), {
        state: { ...initial, text: "tea" },
        fx: Fx.debounce("typing", 300, { _tag: "Searched", text: "tea" })
      })
      story.advance("299 millis")
      story.advance(1)
      story.receive({ _tag: "Searched", text: "tea" }, { fx: searching("tea", "search") })
      story.answer(Search, { text: "tea" }, { success: ["green", "black"] })
      story.receive(foundFor("tea", "green", "black"), {
        state: { text: "tea", found: ["green", "black"], note: "found at 500" }
      })
      assert.strictEqual(story.now, 500)
      assert.deepStrictEqual(story.state.found, ["green", "black"])
    }))

  it("reads in one chain, too", () =>
    Scenario.run(search, { initial }, (story) =>
      story
        .send({ _tag: "Searched", text: "tea" }, { fx: searching("tea", "search") })
        .answer(Search, ({ text }) => text.startsWith("t"), { failure: { _tag: "Offline" } })
        .receive(failed("offline: tea"), { state: { ...initial, note: "offline: tea" } })))

  it("claims a refusal", () => tell((story) => story.send(typed(""), { rejected: { _tag: "Empty" } })))

  it("begins at a time", () =>
    Scenario.run(search, { initial, time: 1_000 }, (story) => {
      story.send(foundFor("x"), { state: { ...initial, note: "found at 1000" } })
      story.advance(5)
      story.send(foundFor("x"), { state: { ...initial, note: "found at 1005" } })
    }))

  it("moves the state only when an action is received", () =>
    tell((story) => {
      story.send(does(Fx.all(Fx.send(noted("a")), Fx.send(noted("b")))), {
        fx: Fx.all(Fx.send(noted("a")), Fx.send(noted("b")))
      })
      assert.strictEqual(story.state.note, "")
      story.receive(noted("a"), { state: { ...initial, note: "a" } })
      assert.strictEqual(story.state.note, "a")
      story.receive(noted("b"), { state: { ...initial, note: "b" } })
    }))

  it("gives ids and causes that are the same each time", () => {
    type Told = { readonly _tag: "Go" | "Gone" }
    const meta = (state: ReadonlyArray<string>, action: Told, { causationId, correlationId, id }: Action.Meta) =>
      Reducer.step(
        [...state, `${id} by ${causationId} of ${correlationId}`],
        action._tag === "Go" ? Fx.send<Told>({ _tag: "Gone" }) : Fx.none
      )
    Scenario.run(meta, { initial: [] }, (story) => {
      const go = { state: ["action-1 by action-1 of action-1"], fx: Fx.send<Told>({ _tag: "Gone" }) }
      story.send({ _tag: "Go" }, go)
      story.receive({ _tag: "Gone" }, { state: [...go.state, "action-2 by action-1 of action-1"] })
    })
  })
})

describe("each kind of forgetting is caught", () => {
  it("a state that changed", () => {
    const message = complains((story) => story.send(noted("n")))
    assert.include(message, "The state changed with send 1, Noted, and the story does not say so:\n")
    assert.include(message, `  note: expected "", got "n"\n`)
  })

  it("another state", () => {
    const { actual, expected, message } = complaint(() =>
      tell((story) => story.send(noted("n"), { state: { ...initial, note: "m" } }))
    )
    assert.include(message, `Not the state after send 1, Noted that the story tells:\n  note: expected "m", got "n"\n`)
    assert.deepStrictEqual(expected, { ...initial, note: "m" })
    assert.deepStrictEqual(actual, { ...initial, note: "n" })
  })

  it("an effect", () => {
    const message = complains((story) => story.send(does(searching("tea"))))
    assert.include(message, "send 1, Do has something done, and the story does not say so")
    assert.include(message, `but will:\n  perform Search {"text":"tea"}`)
  })

  it("another effect", () => {
    const message = complains((story) => story.send(does(searching("tea")), { fx: searching("coffee") }))
    assert.include(message, `input.text: expected "coffee", got "tea"`)
  })

  it("an effect that does not come", () => {
    const message = complains((story) => story.send(does(Fx.none), { fx: searching("tea") }))
    assert.include(message, "Not what send 1, Do has done")
    assert.include(message, "but will:\n  nothing")
  })

  it("a refusal", () => {
    const message = complains((story) => story.send(typed("")))
    assert.include(message, `Expected send 1, Typed to be accepted, but it was refused: {"_tag":"Empty"}`)
  })

  it("a refusal that does not come, with all that came instead", () => {
    const message = complains((story) => story.send(typed("t"), { rejected: { _tag: "Empty" } }))
    assert.include(
      message,
      `Expected send 1, Typed to be refused with {"_tag":"Empty"}, but it was accepted: it became`
    )
    assert.include(message, "and has done:")
    assert.include(
      complains((story) => story.send(does(Fx.none), { rejected: { _tag: "Empty" } })),
      "but it was accepted, and nothing came of it"
    )
  })

  it("an action that was fed back, at the end", () => {
    const message = complains((story) => story.send(does(Fx.send(noted("n"))), { fx: Fx.send(noted("n")) }))
    assert.include(message, "1 action was fed back and not received\n")
    assert.include(message, `{"_tag":"Noted","note":"n"}: from send 1, Do (Scenario.test.ts:`)
  })

  it("an action that was fed back, before anything else", () => {
    const sent = (story: Scenario.StoryOf<typeof search, {}>) =>
      story.send(does(Fx.send(noted("n"))), { fx: Fx.send(noted("n")) })
    for (
      const next of [
        complains((story) => sent(story).send(noted("m"))),
        complains((story) => sent(story).advance(1)),
        complains((story) => sent(story).answer(Search, { text: "" }, { success: [] })),
        complains((story) => void sent(story).interleavings({ answers: () => [], invariant: () => true })),
        complains((story) => void sent(story).explore({ actions: [], until: () => true, maxSteps: 1 }))
      ]
    ) {
      assert.include(next, "it must receive what was fed back:\n")
      assert.include(next, `receive it first: story.receive({"_tag":"Noted","note":"n"}, …)`)
    }
  })

  it("another action, or another order", () => {
    const both = Fx.all(Fx.send(noted("a")), Fx.send(failed("b")))
    const values = complains((story) => story.send(does(both), { fx: both }).receive(noted("z")))
    assert.include(values, `Not the action that was fed back next, by send 1, Do (Scenario.test.ts:`)
    assert.include(values, `note: expected "z", got "a"`)
    assert.include(values, "the action carries other values")
    const order = complains((story) => story.send(does(both), { fx: both }).receive(failed("b")))
    assert.include(order, `Behind it: {"_tag":"Failed","why":"b"}`)
    assert.include(order, "one was forgotten, or comes in another place")
  })

  it("an action that does not come", () => {
    assert.include(
      complains((story) => story.receive(noted("n"))),
      "Nothing was fed back, so Noted cannot be received."
    )
    const waiting = complains((story) =>
      story.send(does(searching("tea")), { fx: searching("tea") }).receive(foundFor("tea"))
    )
    assert.include(waiting, "Under way at 0 ms:\n  - Search {\"text\":\"tea\"}: asked for by send 1, Do")
    assert.include(waiting, "the request is not answered yet")
  })

  it("a request", () => {
    const message = complains((story) => story.send(does(searching("tea", "s")), { fx: searching("tea", "s") }))
    assert.include(message, `1 request is outstanding\n  - Search {"text":"tea"} as "s": asked for by send 1, Do (`)
  })

  it("a timer", () => {
    const fx = Fx.delay("later", 1_000, noted("n"))
    const message = complains((story) => story.send(does(fx), { fx }).advance(400))
    assert.include(
      message,
      `1 timer still runs\n  - the timer "later" that sends {"_tag":"Noted","note":"n"}, due at 1000`
    )
  })

  it("a subscription", () => {
    const fx = Fx.subscribe(Prices, "tea", "p")
    const message = complains((story) => story.send(does(fx), { fx }))
    assert.include(
      message,
      `1 subscription still runs\n  - the subscription "p" to Prices "tea": asked for by send 1, Do`
    )
  })

  it("all of them at once, each with the step that began it", () => {
    const fx = Fx.all(searching("a"), searching("b"), Fx.delay("t", 1, noted("n")))
    const message = complains((story) => {
      story.send(does(fx), { fx })
      story.send(does(Fx.send(noted("n"))), { fx: Fx.send(noted("n")) })
    })
    assert.match(message, /1 action .+ send 2.+2 requests? .+ send 1.+ send 1.+1 timer .+ send 1/s)
  })

  it("that a sequence stopped, at the end and before anything else", () => {
    const fx = Fx.sequential(searching("a"), searching("b"))
    const stop = (story: Scenario.StoryOf<typeof search, {}>) =>
      story.send(does(fx), { fx })
        .answer(Search, { text: "a" }, { failure: { _tag: "Offline" } })
        .receive(failed("offline: a"), { state: { ...initial, note: "offline: a" } })
    assert.include(
      complains((story) => stop(story)),
      "1 sequence stopped and the story does not say so\n  - stopped at"
    )
    assert.include(complains((story) => stop(story).advance(1)), "it must say that a sequence stopped")
    assert.include(complains((story) => stop(story).stopped(searching("c"))), `expected "c", got "b"`)
    tell((story) => stop(story).stopped(searching("b")))
    assert.include(complains((story) => story.stopped(searching("b"))), "No sequence has stopped")
  })

  it("what a timer that is due long before the rest of the time leads to", () => {
    const fx = Fx.delay("t", 10, noted("n"))
    assert.include(complains((story) => story.send(does(fx), { fx }).advance(1_000)), "1 action was fed back")
  })

  it("that a reducer throws", () => {
    const broken = complaint(() => tell((story) => story.send({ _tag: "Throw" })))
    assert.include(broken.message, "The feature threw: TypeError: no such place")
    assert.instanceOf(broken.cause, TypeError)
  })

  it("that the story is asynchronous, or goes on behind its end", () => {
    const later: Array<Scenario.StoryOf<typeof search, {}>> = []
    tell((story) => void later.push(story))
    assert.include(complaint(() => later[0]!.send(noted("n"))).message, "The story is over")
    // The type forbids it; JavaScript does not.
    const asynchronous = (async () => {}) as never as Telling
    assert.include(complaint(() => tell(asynchronous)).message, "The story is asynchronous")
  })
})

describe("a failure points at the line of the test", () => {
  it("where the step is that is not true", () => {
    let at = ""
    const error = complaint(() =>
      tell((story) => {
        at = here()
        story.send(noted("n"))
      })
    )
    assert.include(lines(error)[0], plus(at, 1))
  })

  it("where that was sent of which something is left", () => {
    let at = ""
    const error = complaint(() =>
      tell((story) => {
        story.send(noted("n"), { state: { ...initial, note: "n" } })
        at = here()
        story.send(does(searching("tea")), { fx: searching("tea") })
        story.send(does(Fx.none))
      })
    )
    assert.include(lines(error)[0], plus(at, 1))
    assert.include(error.message, plus(at, 1))
  })

  it("also when it came by way of an answer", () => {
    let at = ""
    const error = complaint(() =>
      tell((story) => {
        at = here()
        story.send(typed("t"), {
          state: { ...initial, text: "t" },
          fx: Fx.debounce("typing", 300, { _tag: "Searched", text: "t" })
        })
        story.advance(300)
        story.receive({ _tag: "Searched", text: "t" }, { fx: searching("t", "search") })
      })
    )
    assert.include(error.message, `asked for by send 1, Typed (${plus(at, 1)})`)
  })
})

describe("requests", () => {
  const two = Fx.all(searching("a"), searching("b"))

  it("are told apart by their input, in any order", () =>
    tell((story) => {
      story.send(does(two), { fx: two })
      story.answer(Search, { text: "b" }, { success: [] }).receive(foundFor("b"), {
        state: { ...initial, note: "found at 0" }
      })
      story.answer(Search, ({ text }) => text === "a", { success: [] }).receive(foundFor("a"))
    }))

  it("must be told apart", () => {
    const message = complains((story) => story.send(does(two), { fx: two }).answer(Search, () => true, { success: [] }))
    assert.include(message, "The story does not say which Search that matches is meant; 2 are under way:")
    assert.include(message, `- Search {"text":"a"}: asked for by send 1, Do`)
    assert.include(message, `- Search {"text":"b"}: asked for by send 1, Do`)
    assert.include(message, "Scenario.one(declaration, { id, within, nth })")
  })

  it("are told apart by their id, or their place among those that are alike", () => {
    const alike = Fx.all(searching("a", "x"), searching("a", "y"), searching("a"), searching("a"))
    const none = { state: { ...initial, note: "found at 0" } }
    tell((story) => {
      story.send(does(alike), { fx: alike })
      story.answer(Scenario.one(Search, { id: "y" }), { text: "a" }, { success: [] }).receive(foundFor("a"), none)
      story.answer(Scenario.one(Search, { nth: 2 }), { text: "a" }, { success: ["last"] })
        .receive(foundFor("a", "last"), { state: { ...none.state, found: ["last"] } })
      story.answer(Scenario.one(Search, { nth: 1 }), { text: "a" }, { success: [] }).receive(foundFor("a"), none)
      story.answer(Search, { text: "a" }, { success: [] }).receive(foundFor("a"))
    })
  })

  it("that are not there are said not to be, with what is", () => {
    assert.include(
      complains((story) => story.answer(Search, { text: "a" }, { success: [] })),
      `There is no Search {"text":"a"} under way. Nothing is under way.`
    )
    const other = complains((story) =>
      story.send(does(searching("a")), { fx: searching("a") }).answer(Search, { text: "b" }, { success: [] })
    )
    assert.include(other, `another input:\n  text: expected "b", got "a"`)
    const fx = Fx.sequential(searching("a"), searching("b"))
    const behind = complains((story) => story.send(does(fx), { fx }).answer(Search, { text: "b" }, { success: [] }))
    assert.include(behind, "Not begun, because something before it in its group has not ended:\n  - ")
  })

  it("end once", () => {
    const message = complains((story) =>
      story.send(does(searching("a")), { fx: searching("a") })
        .answer(Search, { text: "a" }, { success: ["x"] })
        .receive(foundFor("a", "x"), { state: { ...initial, found: ["x"], note: "found at 0" } })
        .answer(Search, { text: "a" }, { success: [] })
    )
    assert.include(message, "Nothing is under way")
  })

  it("a predicate is called once for each of them", () => {
    const calls: Array<string> = []
    tell((story) => {
      story.send(does(two), { fx: two })
      story.answer(Search, ({ text }) => {
        calls.push(text)
        return text === "a"
      }, { success: [] }).receive(foundFor("a"), { state: { ...initial, note: "found at 0" } })
      story.answer(Search, { text: "b" }, { success: [] }).receive(foundFor("b"))
    })
    assert.deepStrictEqual(calls, ["a", "b"])
  })

  it("may go wrong in a way that nothing reports", () =>
    tell((story) => story.send(does(searching("a")), { fx: searching("a") }).breaks(searching("a"))))

  it("without an outcome are said to be so", () => {
    const silent = (state: number, _action: { readonly _tag: "Go" }) => Reducer.step(state, searching("a"))
    const { message } = complaint(() =>
      Scenario.run(silent, { initial: 0 }, (story) => {
        story.send({ _tag: "Go" }, { fx: searching("a") }).answer(Search, { text: "a" }, { success: [] })
      })
    )
    assert.include(message, "Nothing says which action reports what comes of Search")
  })
})

describe("cancelling and replacing", () => {
  it("ends a request, a timer or a subscription by its id", () =>
    tell((story) => {
      const start = Fx.all(searching("a", "s"), Fx.delay("t", 5, noted("n")), Fx.subscribe(Prices, "tea", "p"))
      const end = Fx.all(Fx.cancel("s"), Fx.cancel("t"), Fx.cancel("p"))
      story.send(does(start), { fx: start }).send(does(end), { fx: end }).advance(10)
    }))

  it("ends everything", () =>
    tell((story) => {
      const start = Fx.all(searching("a"), Fx.delay("t", 5, noted("n")), Fx.subscribe(Prices, "tea", "p"))
      story.send(does(start), { fx: start }).send(does(Fx.cancelAll), { fx: Fx.cancelAll })
    }))

  it("replaces what goes by the same id", () =>
    tell((story) => {
      story.send(does(searching("a", "s")), { fx: searching("a", "s") })
      story.send(does(searching("b", "s")), { fx: searching("b", "s") })
      story.answer(Search, () => true, { failure: { _tag: "Offline" } })
      story.receive(failed("offline: b"), { state: { ...initial, note: "offline: b" } })
    }))

  it("wins over a start of the same turn, however far back", () =>
    tell((story) => {
      const fx = Fx.all(searching("a", "s"), Fx.send(does(Fx.cancel("s"))))
      story.send(does(fx), { fx }).receive(does(Fx.cancel("s")), { fx: Fx.cancel("s") })
    }))

  it("says that what was cancelled cannot end", () => {
    const message = complains((story) =>
      story.send(does(searching("a", "s")), { fx: searching("a", "s") })
        .send(does(Fx.cancel("s")), { fx: Fx.cancel("s") })
        .answer(Search, { text: "a" }, { success: [] })
    )
    assert.include(message, "cancelled or replaced under its id")
  })
})

describe("groups", () => {
  const note = (text: string) => ({ state: { ...initial, note: `offline: ${text}` } })
  const offline = { failure: { _tag: "Offline" } } as const
  const ok = { state: { ...initial, note: "found at 0" } }

  it("a sequence begins the next member when the one before has ended", () =>
    tell((story) => {
      const fx = Fx.sequential(searching("a"), Fx.send(noted("between")), searching("b"))
      story.send(does(fx), { fx })
      story.answer(Search, { text: "a" }, { success: [] }).receive(foundFor("a"), ok)
      story.receive(noted("between"), { state: { ...initial, note: "between" } })
      story.answer(Search, { text: "b" }, { success: [] }).receive(foundFor("b"), ok)
    }))

  it("a failure within a sequence is reported before it stops", () =>
    tell((story) => {
      const fx = Fx.sequential(searching("a"), searching("b"), searching("c"))
      story.send(does(fx), { fx })
      story.answer(Search, { text: "a" }, offline).receive(failed("offline: a"), note("a"))
      story.stopped(searching("b"), searching("c"))
    }))

  it("a bound lets so many begin, in their order", () =>
    tell((story) => {
      const fx = Fx.parallel(2, searching("a"), searching("b"), searching("c"))
      story.send(does(fx), { fx })
      const early = complaint(() => story.answer(Search, { text: "c" }, { success: [] }))
      assert.include(early.message, "Not begun")
      story.answer(Search, { text: "b" }, offline).receive(failed("offline: b"), note("b"))
      story.answer(Search, { text: "c" }, offline).receive(failed("offline: c"), note("c"))
      story.answer(Search, { text: "a" }, offline).receive(failed("offline: a"), note("a"))
    }))

  it("what nothing reports must be said to come about, or to break, only within a group", () => {
    const event = Fx.publish("searches", { type: "Searched.v1", data: {} } as never)
    const fx = Fx.sequential(event, searching("a"))
    tell((story) => story.send(does(event), { fx: event }))
    tell((story) => {
      story.send(does(fx), { fx }).completes(event)
      story.answer(Search, { text: "a" }, offline).receive(failed("offline: a"), note("a"))
    })
    tell((story) => story.send(does(fx), { fx }).breaks(event).stopped(searching("a")))
    assert.include(
      complains((story) => story.send(does(fx), { fx })),
      `1 request is outstanding\n  - {"_tag":"Publish"`
    )
  })
})

describe("time", () => {
  it("fires timers in the order of their times, and stands still at each", () =>
    tell((story) => {
      const fx = Fx.all(Fx.delay("b", 20, noted("b")), Fx.delay("a", 10, noted("a")), Fx.delay("c", 20, noted("c")))
      story.send(does(fx), { fx }).advance("1 second")
      assert.strictEqual(story.now, 10)
      story.receive(noted("a"), { state: { ...initial, note: "a" } })
      story.receive(noted("b"), { state: { ...initial, note: "b" } })
      assert.strictEqual(story.now, 20)
      story.receive(noted("c"), { state: { ...initial, note: "c" } })
      assert.strictEqual(story.now, 1_000)
    }))

  it("lets a timer end another that is due later in the same span", () =>
    tell((story) => {
      const fx = Fx.all(Fx.delay("a", 10, does(Fx.cancel("b"))), Fx.delay("b", 20, noted("b")))
      story.send(does(fx), { fx }).advance(30).receive(does(Fx.cancel("b")), { fx: Fx.cancel("b") })
    }))

  it("lets a timer start anew again and again", () => {
    type Tick = { readonly _tag: "Tick" }
    const clock = (n: number, _tick: Tick) =>
      Reducer.step(n + 1, n < 3 ? Fx.delay<Tick>("t", 10, { _tag: "Tick" }) : Fx.none)
    Scenario.run(clock, { initial: 0 }, (story) => {
      const again = { fx: Fx.delay<Tick>("t", 10, { _tag: "Tick" }) }
      story.send({ _tag: "Tick" }, { state: 1, ...again }).advance(35)
      story.receive({ _tag: "Tick" }, { state: 2, ...again })
      story.receive({ _tag: "Tick" }, { state: 3, ...again })
      story.receive({ _tag: "Tick" }, { state: 4 })
    })
  })

  it("opens throttles again", () =>
    tell((story) => {
      const fx = Fx.throttle("t", 100, noted("n"))
      story.send(does(fx), { fx }).receive(noted("n"), { state: { ...initial, note: "n" } })
      story.advance(99).send(does(fx), { fx })
      story.advance(1).send(does(fx), { fx }).receive(noted("n"))
    }))
})

describe("sources", () => {
  const fx = Fx.subscribe(Prices, "tea", "p")
  const says = (text: string) => ({ state: { ...initial, note: text } })

  it("yield values, each received before the next, and end", () =>
    tell((story) => {
      story.send(does(fx), { fx }).yields(Prices, 1, 2)
      story.receive(noted("tea 1"), says("tea 1")).receive(noted("tea 2"), says("tea 2"))
      story.ends(Prices).receive(noted("end"), says("end"))
    }))

  it("fail", () =>
    tell((story) =>
      story.send(does(fx), { fx }).fails(Prices, { _tag: "Closed" }).receive(failed("closed"), says("closed"))
    ))

  it("must be told apart", () => {
    const two = Fx.all(fx, Fx.subscribe(Prices, "jam", "q"))
    assert.include(
      complains((story) => story.send(does(two), { fx: two }).yields(Prices, 1)),
      "The story does not say which subscription to Prices is meant; 2 are under way:"
    )
    tell((story) => {
      story.send(does(two), { fx: two })
      story.yields(Scenario.one(Prices, { id: "q" }), 1).receive(noted("jam 1"), says("jam 1"))
      story.send(does(Fx.cancelAll), { fx: Fx.cancelAll })
    })
  })
})

describe("what is not data", () => {
  it("yields the action that the story says", () => {
    const fx = Fx.run(Effect.succeed(noted("ran")))
    tell((story) =>
      story.send(does(fx), { fx }).ran(noted("ran")).receive(noted("ran"), { state: { ...initial, note: "ran" } })
    )
    assert.include(complains((story) => story.send(does(fx), { fx })), "an effect of Fx.run")
  })
})

describe("partial claims", () => {
  it("a step at a time: what is left out does not matter", () =>
    tell((story) => {
      story.sendPartial(typed("t"), { state: { text: "t" } })
      story.sendPartial(typed("te"), { fx: Fx.debounce("typing", 300, { _tag: "Searched", text: "te" }) })
      story.sendPartial(typed("tea"), { state: ({ text }) => text.length === 3 })
      story.advance(300).receivePartial({ _tag: "Searched" })
      story.answer(Search, () => true, { success: ["x"] }).receivePartial({ found: ["x"] }, { state: { found: ["x"] } })
    }))

  it("throughout a test", () =>
    Scenario.run(search, { initial, partial: true }, (story) => {
      story.send(typed("tea"), { state: { text: "tea" } }).advance(300)
      story.receive({ _tag: "Searched", text: "tea" })
      story.answer(Search, () => true, { success: [] }).receive(foundFor("tea"))
    }))

  it("still say no", () => {
    const partial = (story: Telling) => complains(story)
    assert.include(partial((story) => story.sendPartial(noted("n"), { state: { note: "m" } })), `expected "m", got "n"`)
    assert.include(
      partial((story) => story.sendPartial(noted("n"), { state: () => false })),
      "The state after send 1, Noted does not fulfil the predicate"
    )
    assert.include(
      partial((story) => story.sendPartial(does(searching("a")), { fx: searching("b") })),
      `send 1, Do does not have done:\n  - perform Search {"text":"b"}`
    )
    assert.include(partial((story) => story.sendPartial(typed(""))), "was refused")
    assert.include(
      partial((story) => story.sendPartial(noted("n"), { rejected: { _tag: "Empty" } })),
      "Expected send 1, Noted to be refused"
    )
    assert.include(
      partial((story) => story.sendPartial(does(Fx.send(noted("n")))).receivePartial({ _tag: "Failed" })),
      "Not the action that was fed back next"
    )
    assert.include(partial((story) => story.sendPartial(does(searching("a")))), "1 request is outstanding")
    const found = { found: ["a", "b"] }
    assert.include(
      partial((story) => story.sendPartial(foundFor("t", "a"), { state: found })),
      `found[1]: expected "b", got nothing`
    )
  })

  it("the effects named must be there, each as often as named", () => {
    const twice = Fx.all(searching("a"), searching("a"), searching("b"))
    tell((story) => {
      story.sendPartial(does(twice), { fx: Fx.all(searching("b"), searching("a"), searching("a")) })
      story.send(does(Fx.cancelAll), { fx: Fx.cancelAll })
    })
    const thrice = Fx.all(searching("a"), searching("a"), searching("a"))
    assert.include(complains((story) => story.sendPartial(does(twice), { fx: thrice })), "does not have done")
  })

  it("call a predicate once", () => {
    let calls = 0
    tell((story) => story.sendPartial(noted("n"), { state: () => (calls += 1) > 0 }))
    assert.strictEqual(calls, 1)
  })
})

describe("composed features", () => {
  const whole = Compose.compose({ one: search, many: Compose.each(search), some: Compose.optional(search) })
  const empty = { one: initial, many: HashMap.make(["x", initial], ["y", initial]), some: null }

  it("send and receive the actions of parts in their places", () =>
    Scenario.run(whole, { initial: empty }, (story) => {
      const fx = searching("a", "s")
      const at = (id: string) => Fx.within({ key: "many", id }, fx)
      story.send({ _tag: "one", action: does(fx) }, { fx: Fx.within({ key: "one" }, fx) })
      story.send({ _tag: "many", id: "x", action: does(fx) }, { fx: at("x") })
      story.send({ _tag: "many", id: "y", action: does(fx) }, { fx: at("y") })
      const ambiguous = complaint(() => story.answer(Search, { text: "a" }, { success: [] }))
      assert.include(ambiguous.message, `as "s" within many(x): asked for by send 2, many`)
      story.answer(Scenario.one(Search, { within: [{ key: "many", id: "y" }] }), { text: "a" }, { success: ["f"] })
      const found = { ...initial, found: ["f"], note: "found at 0" }
      story.receive(
        { _tag: "many", id: "y", action: foundFor("a", "f") },
        { state: { ...empty, many: HashMap.make(["x", initial], ["y", found]) } }
      )
      // Each part's ids are its own.
      story.send({ _tag: "one", action: does(Fx.cancelAll) }, { fx: Fx.within({ key: "one" }, Fx.cancelAll) })
      story.send({ _tag: "many", id: "x", action: does(Fx.cancel("s")) }, {
        fx: Fx.within({ key: "many", id: "x" }, Fx.cancel("s"))
      })
    }))

  it("cancel what a part has under way when it goes", () => {
    type Close = { readonly _tag: "Close" }
    const closing = Reducer.withOutcomes(
      (state: number | null, action: Close | { readonly _tag: "Open" } | { readonly _tag: "Ended" }) =>
        action._tag === "Close" ? Reducer.step(null, Fx.none) : Reducer.step(state, searching("a")),
      { Search: { success: () => ({ _tag: "Ended" }) as const, failure: () => ({ _tag: "Ended" }) as const } }
    )
    const dialogue = Compose.compose({ some: Compose.optional(closing) })
    Scenario.run(dialogue, { initial: { some: 1 } }, (story) => {
      story.send({ _tag: "some", action: { _tag: "Open" } }, { fx: Fx.within({ key: "some" }, searching("a")) })
      story.send({ _tag: "some", action: { _tag: "Close" } }, {
        state: { some: null },
        fx: Fx.within({ key: "some" }, Fx.cancelAll)
      })
    })
  })

  it("combined ones act on one state", () => {
    type Both = { readonly _tag: "Up" } | { readonly _tag: "Down" }
    const up = (n: number, { _tag }: Both) => Reducer.step(_tag === "Up" ? n + 1 : n)
    const down = (n: number, { _tag }: Both) => Reducer.step(_tag === "Down" ? n - 1 : n)
    Scenario.run(
      Compose.combine(up, down),
      { initial: 0 },
      (story) =>
        story.send({ _tag: "Up" }, { state: 1 }).send({ _tag: "Down" }, { state: 0 }).send({ _tag: "Down" }, {
          state: -1
        })
    )
  })
})

describe("aggregates", () => {
  const Charge = Task.define("Charge", {
    input: Schema.Int,
    success: Schema.String,
    failure: Schema.TaggedStruct("Declined", {})
  })
  const Order = Action.define("Order", {
    commands: { Place: { cents: Schema.Int }, Confirm: { receipt: Schema.String }, Cancel: {}, Remind: {} },
    events: {
      Placed: Event.v1({ cents: Schema.Int }),
      Paid: Event.v1({ receipt: Schema.String }),
      Cancelled: Event.v1({})
    }
  })
  type OrderState = "new" | "placed" | "paid" | "cancelled"
  const order = Aggregate.define(Order, {
    initial: "new" as OrderState,
    decide: (state, command) => {
      switch (command._tag) {
        case "Place":
          return state === "new" ? Fx.append(Order.Placed({ cents: command.cents })) : Fx.reject({ _tag: "Placed" })
        case "Confirm":
          return state === "placed" ? Fx.append(Order.Paid({ receipt: command.receipt })) : Fx.none
        case "Cancel":
          return state === "placed" ? Fx.append(Order.Cancelled()) : Fx.reject({ _tag: "NotPlaced" })
        case "Remind":
          return Fx.none
      }
    },
    evolve: (_state, event): OrderState =>
      event._tag === "Placed" ? "placed" : event._tag === "Paid" ? "paid" : "cancelled",
    react: (_state, event) =>
      event._tag === "Placed"
        ? Fx.all(Fx.perform(Charge, event.cents, { id: "charge" }), Fx.delay("remind", 1_000, Order.Remind()))
        : Fx.cancelAll,
    outcomes: { Charge: { success: (receipt: string) => Order.Confirm({ receipt }), failure: () => Order.Cancel() } }
  })
  const reaction = (cents: number) =>
    Fx.all(Fx.perform(Charge, cents, { id: "charge" }), Fx.delay("remind", 1_000, Order.Remind()))

  it("are sent commands, record events and react", () =>
    Scenario.run(order, {}, (story) => {
      story.send(Order.Place({ cents: 5 }), { events: [Order.Placed({ cents: 5 })], state: "placed", fx: reaction(5) })
      story.send(Order.Place({ cents: 5 }), { rejected: { _tag: "Placed" } })
      story.answer(Charge, 5, { success: "r" })
      story.receive(Order.Confirm({ receipt: "r" }), {
        events: [Order.Paid({ receipt: "r" })],
        state: "paid",
        fx: Fx.cancelAll
      })
    }))

  it("begin behind their past, which reacts no more, or at a state", () => {
    Scenario.run(
      order,
      { given: [Order.Placed({ cents: 5 })] },
      (story) => story.send(Order.Cancel(), { events: [Order.Cancelled()], state: "cancelled", fx: Fx.cancelAll })
    )
    Scenario.run(order, { initial: "paid" }, (story) => story.send(Order.Cancel(), { rejected: { _tag: "NotPlaced" } }))
  })

  it("must claim their events, and only such as can be stored", () => {
    const forgotten = complaint(() =>
      Scenario.run(order, {}, (story) => story.send(Order.Place({ cents: 5 }), { state: "placed", fx: reaction(5) }))
    )
    assert.include(forgotten.message, `Not the events of send 1, Place that the story tells:\n  [0]: expected nothing`)
    const unstorable = complaint(() =>
      Scenario.run(order, {}, (story) => story.sendPartial(Order.Place({ cents: 0.5 })))
    )
    assert.include(unstorable.message, "send 1, Place decided an event that cannot be stored as declared. Placed: ")
  })

  it("load the state of others", () => {
    const Asking = Action.define("Asking", {
      commands: { Ask: {}, Told: { id: Schema.String, current: Schema.Unknown } },
      events: {}
    })
    const asking = (said: string, action: Action.CommandOf<typeof Asking>) =>
      action._tag === "Ask" ? Reducer.step(said, Fx.load(order, "1", "Told")) : Reducer.step(`told of ${action.id}`)
    const current = { state: "paid", version: 1, globalPosition: 7n } as const
    Scenario.run(asking, { initial: "" }, (story) => {
      story.send(Asking.Ask(), { fx: Fx.load(order, "1", "Told") }).loads(order, current)
      story.receive(Asking.Told({ id: "1", current }), { state: "told of 1" })
    })
  })
})

describe("interleavings", () => {
  const two = Fx.all(searching("a"), searching("b"))
  const offline = { failure: { _tag: "Offline" } } as const

  it("run every order, with every outcome", () => {
    const seen: Array<string> = []
    tell((story) => {
      story.send(does(two), { fx: two })
      const orders = story.interleavings({
        answers: (may) => [
          may.answer(Search, { text: "a" }, { success: ["a"] }, offline),
          may.answer(Search, { text: "b" }, { success: ["b"] })
        ],
        invariant: ({ found, note }) => seen.push(`${found.join()} ${note}`) > 0
      })
      assert.strictEqual(orders, 4)
      assert.deepStrictEqual(seen, [
        "a found at 0",
        "b found at 0",
        " offline: a",
        "b found at 0",
        "b found at 0",
        "a found at 0",
        "b offline: a"
      ])
      // The story itself has not moved.
      assert.deepStrictEqual(story.state, initial)
    })
  })

  it("mix with actions from outside and with time", () =>
    tell((story) => {
      story.send(does(searching("a")), { fx: searching("a") })
      const orders = story.interleavings({
        answers: (may) => [
          may.answer(Search, { text: "a" }, { success: [] }),
          may.send(noted("n")),
          may.advance("1 second")
        ],
        invariant: () => true
      })
      assert.strictEqual(orders, 6)
    }))

  it("report the first order that breaks the invariant, as a story to tell again", () => {
    // The newest answer wins, whatever was asked for last.
    const start = does(two)
    const error = complaint(() =>
      tell((story) => {
        story.send(start, { fx: two })
        story.interleavings({
          answers: (may) => [
            may.answer(Search, { text: "a" }, { success: ["old"] }),
            may.answer(Search, { text: "b" }, { success: ["new"] })
          ],
          invariant: ({ found }) => found[0] !== "old" || story.state.found.length > 0
        })
      })
    )
    assert.include(error.message, "The invariant does not hold after Found")
    const again = error.script ?? assert.fail("no script")
    assert.deepStrictEqual(again.split("\n").map((line) => /story\.\w+/.exec(line)?.[0]), [
      "story.send",
      "story.answer",
      "story.receive"
    ])
    replay(again, (story) => {
      assert.deepStrictEqual(story.state.found, ["old"])
      story.send(does(Fx.cancelAll), { fx: Fx.cancelAll })
    })
  })

  it("an invariant may be an assertion", () => {
    const error = complaint(() =>
      tell((story) =>
        void story.send(does(searching("a")), { fx: searching("a") }).interleavings({
          answers: (may) => [may.answer(Search, { text: "a" }, { success: [] })],
          invariant: ({ note }) => {
            assert.strictEqual(note, "")
            return true
          }
        })
      )
    )
    assert.strictEqual((error.cause as Error).name, "AssertionError")
    assert.include(error.script, "story.receive")
  })

  it("name requests for which no outcome is given, and moves that are never possible", () => {
    const forgotten = complains((story) =>
      void story.send(does(two), { fx: two }).interleavings({
        answers: (may) => [may.answer(Search, { text: "a" }, { success: [] })],
        invariant: () => true
      })
    )
    assert.include(
      forgotten,
      `An order ends with 1 request under way, for which no outcome is given:\n  - Search {"text":"b"}`
    )
    const never = complains((story) =>
      void story.interleavings({
        answers: (may) => [may.answer(Search, { text: "z" }, { success: [] })],
        invariant: () => true
      })
    )
    assert.include(never, "1 move could not be made in any order")
  })

  it("have a bound", () => {
    const message = complains((story) =>
      void story.interleavings({
        answers: (may) => [1, 2, 3, 4, 5].map((n) => may.send(noted(`${n}`))),
        invariant: () => true,
        maxOrders: 100
      })
    )
    assert.include(message, "There are more than 100 orders of the 5 moves")
  })

  it("see an endless exchange", () => {
    type Ping = { readonly _tag: "Ping" }
    const loop = (n: number, _ping: Ping) => Reducer.step(n, n > 0 ? Fx.send<Ping>({ _tag: "Ping" }) : Fx.none)
    const { message } = complaint(() =>
      Scenario.run(
        loop,
        { initial: 1 },
        (story) => void story.interleavings({ answers: (may) => [may.send({ _tag: "Ping" })], invariant: () => true })
      )
    )
    assert.include(message, "More than 10000 actions were fed back without a pause; Ping was the next")
  })
})

/** Runs a script as the test that it is pasted into would. */
const replay = (script: string, then: (story: Scenario.StoryOf<typeof search, {}>) => void): void => {
  const run = new Function("story", "Search", "Prices", "Scenario", script)
  tell((story) => {
    run(story, Search, Prices, Scenario)
    then(story)
  })
}

describe("explore", () => {
  type Knock = { readonly _tag: "Knock" } | { readonly _tag: "Ring" } | { readonly _tag: "Leave" }
  const door = (state: { readonly knocks: number; readonly open: boolean }, action: Knock) => {
    switch (action._tag) {
      case "Knock":
        return Reducer.step({ ...state, knocks: Math.min(state.knocks + 1, 5) })
      case "Ring":
        return Reducer.step(state.knocks === 3 ? { ...state, open: true } : { ...state, knocks: 0 })
      case "Leave":
        return Reducer.step({ knocks: 0, open: false })
    }
  }
  const actions: ReadonlyArray<Knock> = [{ _tag: "Leave" }, { _tag: "Ring" }, { _tag: "Knock" }]
  const shut = { knocks: 0, open: false }

  it("finds the shortest way to a state", () =>
    Scenario.run(door, { initial: shut }, (story) => {
      const way = story.explore({ actions, until: ({ open }) => open, maxSteps: 10 })
      assert.strictEqual(way.steps, 4)
      assert.deepStrictEqual(way.state, { knocks: 3, open: true })
      assert.strictEqual(
        way.script,
        [
          `  story.send({"_tag":"Knock"}, { state: {"knocks":1,"open":false} })`,
          `  story.send({"_tag":"Knock"}, { state: {"knocks":2,"open":false} })`,
          `  story.send({"_tag":"Knock"}, { state: {"knocks":3,"open":false} })`,
          `  story.send({"_tag":"Ring"}, { state: {"knocks":3,"open":true} })`
        ].join("\n")
      )
      assert.deepStrictEqual(story.state, shut)
    }))

  it("is there when it begins there", () =>
    Scenario.run(
      door,
      { initial: shut },
      (story) => assert.strictEqual(story.explore({ actions, until: ({ open }) => !open, maxSteps: 1 }).steps, 0)
    ))

  it("goes by way of requests and time, and the way can be told again", () => {
    let script = ""
    tell((story) => {
      const way = story.explore({
        actions: [typed("tea")],
        answers: (may) => [may.answer(Search, () => true, { success: ["green"] }), may.advance(300)],
        until: ({ found }) => found.length > 0,
        maxSteps: 5
      })
      assert.strictEqual(way.steps, 3)
      script = way.script
    })
    replay(script, (story) => assert.deepStrictEqual(story.state.found, ["green"]))
  })

  it("proves that there is no way", () => {
    const { message } = complaint(() =>
      Scenario.run(
        door,
        { initial: shut },
        (story) => void story.explore({ actions, until: ({ knocks }) => knocks > 5, maxSteps: 100 })
      )
    )
    assert.include(message, "No state fulfils `until`: all 12 situations that can be reached were seen")
  })

  it("has bounds, and says which was met", () => {
    const far = complaint(() =>
      Scenario.run(
        door,
        { initial: shut },
        (story) => void story.explore({ actions, until: ({ open }) => open, maxSteps: 3 })
      )
    )
    assert.include(far.message, "No state that fulfils `until` was found within 3 steps")
    const wide = complaint(() =>
      Scenario.run(
        (n: number, _action: { readonly _tag: "Add" }) => Reducer.step(n + 1),
        { initial: 0 },
        (story) =>
          void story.explore({ actions: [{ _tag: "Add" }], until: (n) => n < 0, maxSteps: 1_000, maxStates: 50 })
      )
    )
    assert.include(wide.message, "among the first 50 situations")
  })
})
