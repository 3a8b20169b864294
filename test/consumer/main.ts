/**
 * The program of a user who installed the packages from their tarballs. `test/Packages.test.ts` compiles it outside the
 * workspace and runs it with the Node it finds there; nothing in it may rely on the workspace.
 */
import * as Action from "@composable-ts/core/Action"
import * as Aggregate from "@composable-ts/core/Aggregate"
import * as Event from "@composable-ts/core/Event"
import * as Fx from "@composable-ts/core/Fx"
import * as MemoryEventStore from "@composable-ts/core/MemoryEventStore"
import * as Store from "@composable-ts/core/Store"
import * as PostgresEventStore from "@composable-ts/postgres/PostgresEventStore"
import * as TestDatabase from "@composable-ts/testing/TestDatabase"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"

const Door = Action.define("Door", {
  commands: { Open: { by: Schema.String } },
  events: { Opened: Event.v1({ by: Schema.String }) }
})

interface State {
  readonly openedBy: string | null
}
const closed: State = { openedBy: null }

const door = Aggregate.define(Door, {
  initial: closed,
  decide: (state, command) =>
    state.openedBy === null
      ? Fx.append(Door.Opened({ by: command.by }))
      : Fx.reject({ _tag: "AlreadyOpen", by: state.openedBy }),
  evolve: (_state, event): State => ({ openedBy: event.by })
})

const openTwice = Effect.gen(function*() {
  const doors = yield* Store.aggregate(door)
  const first = yield* doors.dispatch("front", Door.Open({ by: "Ada" }))
  const refusal = yield* Effect.flip(doors.dispatch("front", Door.Open({ by: "Bob" })))
  return JSON.stringify({ state: first.state, version: first.version, refusal })
})

console.log(`memory ${await Effect.runPromise(Effect.provide(openTwice, MemoryEventStore.layer))}`)
const postgres = Layer.provide(PostgresEventStore.layer(), TestDatabase.layer)
console.log(`postgres ${await Effect.runPromise(Effect.provide(openTwice, postgres))}`)
