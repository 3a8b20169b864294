/**
 * What must compile, and what must not. Checked by the compiler; nothing here runs.
 */
import type { EventStore } from "@composable-ts/core/EventStore"
import type { Recorded } from "@composable-ts/core/History"
import type { RecordedEvent } from "@composable-ts/core/RecordedEvent"
import type { PgClient } from "@effect/sql-pg"
import { Context, Data, Effect, Schedule } from "effect"
import * as Poison from "../../src/Poison.ts"
import * as Projection from "../../src/Projection.ts"
import type { ProjectionFailed } from "../../src/ProjectionError.ts"
import { Votes } from "../Votes.ts"

class Mailer extends Context.Service<Mailer, { readonly send: Effect.Effect<void> }>()("test/Mailer") {}
class Pager extends Context.Service<Pager, { readonly page: Effect.Effect<void> }>()("test/Pager") {}
class Refused extends Data.TaggedError("Refused")<{ readonly by: string }> {}
class Full extends Data.TaggedError("Full")<{ readonly size: number }> {}

/** Holds exactly when two types are the same. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true : false
const same = <_T extends true>(): void => {}

const base = { name: "tally", version: 1, setUp: Effect.void }

// A handler gets the event in its current shape, and the event as it was recorded.
Projection.define(Votes, {
  ...base,
  on: {
    Voted: (event, recorded) => {
      same<Same<typeof event.weight, number>>()
      same<Same<typeof event._tag, "Voted">>()
      same<Same<typeof recorded, RecordedEvent>>()
      return Effect.void
    }
  }
})

Projection.define(Votes, {
  ...base,
  on: {
    // @ts-expect-error: no event of that name is declared
    Vanished: () => Effect.void
  }
})

Projection.define(Votes, {
  ...base,
  on: {
    // @ts-expect-error: the event has no such field
    Voted: ({ colour }) => Effect.log(colour)
  }
})

Projection.define(Votes, {
  ...base,
  on: {
    // @ts-expect-error: a withdrawal's weight is no text
    Withdrawn: ({ weight }) => Effect.log(weight.toUpperCase())
  }
})

Projection.define(Votes, {
  ...base,
  on: {
    // @ts-expect-error: a handler describes what to do; it does not do it
    Voted: async () => {}
  }
})

// Handlers may fail in different ways and need different services: all of them add up.
const mixed = Projection.define(Votes, {
  ...base,
  setUp: Effect.flatMap(Mailer, ({ send }) => send),
  on: {
    Voted: () => Effect.flatMap(Pager, () => Effect.fail(new Refused({ by: "rule" }))),
    Withdrawn: () => Effect.flatMap(Mailer, () => Effect.fail(new Full({ size: 3 })))
  }
})
same<Same<typeof mixed, Projection.Projection<Refused | Full, Mailer | Pager>>>()

const caughtUp = Projection.catchUp(mixed)
same<Same<Effect.Services<typeof caughtUp>, Mailer | Pager | EventStore | PgClient.PgClient>>()
const runs = Projection.run(mixed)
same<Same<Effect.Success<typeof runs>, never>>()
same<Same<Effect.Error<typeof runs>, Projection.Stopped>>()

declare const provided: Effect.Effect<never, Projection.Stopped, EventStore | PgClient.PgClient | Mailer>
// @ts-expect-error: the handlers also need a Pager, which nobody provides
const unprovided: typeof provided = runs
void unprovided

// A batch holds the named events only.
const batch = Projection.defineBatch(Votes, {
  ...base,
  events: ["Voted", "Withdrawn"],
  handle: (events) => {
    same<Same<(typeof events)[0]["event"]["_tag"], "Voted" | "Withdrawn">>()
    const first: Recorded<{ readonly choice: string; readonly weight: number }> = events[0]
    return Effect.flatMap(Mailer, () => Effect.fail(new Full({ size: first.event.weight })))
  }
})
same<Same<typeof batch, Projection.Projection<Full, Mailer>>>()

Projection.defineBatch(Votes, {
  ...base,
  // @ts-expect-error: no event of that name is declared
  events: ["Vanished"],
  handle: () => Effect.void
})

Projection.defineBatch(Votes, {
  ...base,
  events: ["Voted"],
  // @ts-expect-error: notes are not among the batch's events
  handle: (events) => Effect.forEach(events, ({ event }) => Effect.log(event.text))
})

// A schedule for retries is told the failure, and needs no services.
Projection.define(Votes, {
  ...base,
  poison: Poison.park,
  retry: Schedule.tap(Schedule.identity<ProjectionFailed>(), ({ input }) => Effect.log(input.upTo)),
  on: {}
})

Projection.define(Votes, {
  ...base,
  // @ts-expect-error: nobody provides the pager
  retry: Schedule.tap(Schedule.recurs(3), () => Effect.flatMap(Pager, ({ page }) => page)),
  on: {}
})

Projection.define(Votes, {
  ...base,
  // @ts-expect-error: a policy is one of the module's values
  poison: "park",
  on: {}
})
