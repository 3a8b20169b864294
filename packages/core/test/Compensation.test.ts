import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import * as Compensation from "../src/Compensation.ts"

const plan = Compensation.of({
  reserve: { undo: "undo", attempts: 2 },
  charge: { undo: "undo", attempts: 3 },
  mail: { undo: "keep" },
  ship: { undo: "undo" }
})

type Name = "reserve" | "charge" | "mail" | "ship"
type State = Compensation.Compensation<Name>

const attempts = { reserve: 2, charge: 3, mail: 0, ship: 1 }
const names: ReadonlyArray<Name> = ["reserve", "charge", "mail", "ship"]
const done = (...steps: ReadonlyArray<Name>): State => steps.reduce(plan.completed, plan.initial)

describe("steps that were completed", () => {
  it("are undone in reverse, one after the other", () => {
    let state = plan.compensate(done("reserve", "charge", "ship"))
    for (const step of ["ship", "charge", "reserve"] as const) {
      assert.strictEqual(state.phase, "undoing")
      assert.deepStrictEqual(plan.next(state), { step, attempt: 1 })
      state = plan.undone(state, step)
    }
    assert.strictEqual(state.phase, "compensated")
    assert.isUndefined(plan.next(state))
    assert.deepStrictEqual(state.steps.map(({ status }) => status), ["undone", "undone", "undone"])
  })

  it("are all that is undone: nothing to do is done at once", () => {
    assert.strictEqual(plan.compensate(plan.initial).phase, "compensated")
    assert.strictEqual(plan.compensate(done("mail")).phase, "compensated")
  })

  it("and are to be kept stay, and are passed over", () => {
    const state = plan.undone(plan.compensate(done("reserve", "mail", "ship", "mail")), "ship")
    assert.deepStrictEqual(plan.next(state), { step: "reserve", attempt: 1 })
    assert.deepStrictEqual(state.steps[1], { step: "mail", status: "kept", attempt: 0 })
  })

  it("while others are undone are undone next, and afterwards by themselves", () => {
    const late = plan.completed(plan.compensate(done("reserve")), "charge")
    assert.deepStrictEqual(plan.next(late), { step: "reserve", attempt: 1 })
    const next = plan.undone(late, "reserve")
    assert.deepStrictEqual(plan.next(next), { step: "charge", attempt: 1 })
    const later = plan.completed(plan.undone(next, "charge"), "ship")
    assert.deepStrictEqual(plan.next(later), { step: "ship", attempt: 1 })
  })
})

describe("an undoing that fails", () => {
  it("is tried again as often as its step allows, and then the whole is stuck", () => {
    let state = plan.compensate(done("reserve", "charge"))
    for (const attempt of [1, 2]) {
      state = plan.failed(state, { step: "charge", attempt })
      assert.deepStrictEqual(plan.next(state), { step: "charge", attempt: attempt + 1 })
    }
    state = plan.failed(state, { step: "charge", attempt: 3 })
    assert.strictEqual(state.phase, "stuck")
    assert.isUndefined(plan.next(state))
    assert.deepStrictEqual(plan.stuckOn(state), { step: "charge", attempt: 3 })

    const again = plan.retry(state)
    assert.deepStrictEqual(plan.next(again), { step: "charge", attempt: 4 })
    assert.deepStrictEqual(plan.stuckOn(plan.failed(again, { step: "charge", attempt: 4 })), {
      step: "charge",
      attempt: 4
    })
    assert.deepStrictEqual(plan.next(plan.undone(again, "charge")), { step: "reserve", attempt: 1 })

    const given = plan.giveUp(state)
    assert.deepStrictEqual(plan.next(given), { step: "reserve", attempt: 1 })
    assert.deepInclude(given.steps[1], { step: "charge", status: "givenUp" })
    // Word of its success may come late.
    assert.deepStrictEqual(plan.next(plan.undone(state, "charge")), { step: "reserve", attempt: 1 })
  })

  it("has at least one attempt", () => {
    for (const attempts of [0, -1, 1.5, Number.NaN]) {
      assert.throws(() => Compensation.of({ charge: { undo: "undo", attempts } }), /step charge.*whole number from 1/)
    }
  })
})

/** Whatever may be reported, in whatever order, whether or not it makes sense. */
const Report = Schema.Union([
  Schema.Struct({ what: Schema.Literals(["completed", "undone"]), step: Schema.Literals(names) }),
  Schema.Struct({
    what: Schema.Literal("failed"),
    step: Schema.Literals(names),
    attempt: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 4 }))
  }),
  Schema.Struct({ what: Schema.Literals(["compensate", "retry", "giveUp", "undo next", "fail next"]) })
])

const report = (state: State, told: typeof Report.Type): State => {
  const turn = plan.next(state)
  switch (told.what) {
    case "completed":
      return plan.completed(state, told.step)
    case "undone":
      return plan.undone(state, told.step)
    case "failed":
      return plan.failed(state, told)
    case "compensate":
    case "retry":
    case "giveUp":
      return plan[told.what](state)
    case "undo next":
      return turn === undefined ? state : plan.undone(state, turn.step)
    case "fail next":
      return turn === undefined ? state : plan.failed(state, turn)
  }
}

const Reports = Schema.Array(Report).check(Schema.isMaxLength(30))
const options = { arbitrary: { runs: Number(process.env["COMPENSATION_RUNS"] ?? "300") } }
const decode = Schema.decodeUnknownSync(plan.Compensation)
const encode = Schema.encodeSync(plan.Compensation)

describe("whatever is reported", () => {
  it.effect.prop(
    "each step stands once; one at a time is undone, and only when it should be",
    [Reports],
    ([reports]) =>
      Effect.sync(() => {
        let state = plan.initial
        let begun = false
        for (const told of reports) {
          const before = state
          state = report(state, told)
          begun ||= told.what === "compensate"
          const undoing = state.steps.filter(({ status }) => status === "undoing")
          assert.strictEqual(undoing.length, state.phase === "undoing" || state.phase === "stuck" ? 1 : 0)
          assert.strictEqual(state.phase !== "forward", begun)
          assert.lengthOf(new Set(state.steps.map(({ step }) => step)), state.steps.length)
          // Steps never leave, nor change places, and what is settled stays settled.
          before.steps.forEach(({ status, step }, i) => {
            assert.strictEqual(state.steps[i]!.step, step)
            if (status === "undone" || status === "kept" || status === "givenUp") {
              assert.strictEqual(state.steps[i]!.status, status)
            }
          })
          if (state.phase === "compensated") assert.isFalse(state.steps.some(({ status }) => status === "done"))
          if (state.phase === "stuck") {
            const { attempt, step } = plan.stuckOn(state)!
            assert.isAtLeast(attempt, attempts[step])
          }
          assert.deepStrictEqual(decode(JSON.parse(JSON.stringify(encode(state)))), state)
        }
      }),
    options
  )

  it.effect.prop("a report told twice counts once", [Reports], ([reports]) =>
    Effect.sync(() => {
      let state = plan.initial
      for (const told of reports) {
        const turn = plan.next(state)
        state = report(state, told)
        if (
          told.what === "completed" || told.what === "undone" || told.what === "failed" || told.what === "compensate"
        ) {
          assert.deepStrictEqual(report(state, told), state)
        }
        if (told.what === "undo next" && turn !== undefined) {
          assert.deepStrictEqual(plan.undone(state, turn.step), state)
        }
        if (told.what === "fail next" && turn !== undefined) assert.deepStrictEqual(plan.failed(state, turn), state)
      }
    }), options)

  it.effect.prop(
    "in the end all that can be undone is, the later the earlier",
    [Reports],
    ([reports]) =>
      Effect.sync(() => {
        const completed: Array<Name> = []
        let state = plan.initial
        for (const told of reports) {
          if (told.what === "completed" && !completed.includes(told.step)) completed.push(told.step)
          state = told.what === "completed" ? report(state, told) : state
        }
        state = plan.compensate(state)
        const order: Array<Name> = []
        while (state.phase !== "compensated") {
          const { step } = plan.next(state)!
          order.push(step)
          state = plan.undone(state, step)
        }
        assert.deepStrictEqual(order, completed.toReversed().filter((step) => step !== "mail"))
      }),
    options
  )
})
