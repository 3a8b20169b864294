/**
 * The aggregate whose effects are put under faults, and a provider that writes down each request.
 */
import * as Action from "@composable-ts/core/Action"
import * as Aggregate from "@composable-ts/core/Aggregate"
import * as DurableAggregate from "@composable-ts/core/DurableAggregate"
import * as Event from "@composable-ts/core/Event"
import * as Fx from "@composable-ts/core/Fx"
import * as Task from "@composable-ts/core/Task"
import * as PgClient from "@effect/sql-pg/PgClient"
import { Effect, Schedule, Schema } from "effect"

export const Work = Task.define("Work", {
  input: Schema.Int,
  success: Schema.Int,
  failure: Schema.Literal("stalled"),
  retry: { schedule: Schedule.spaced("30 millis").pipe(Schedule.upTo({ times: 50 })) }
})

export const Job = Action.define("Job", {
  commands: { Ask: { nr: Schema.Int }, Done: { nr: Schema.Int }, NotDone: {}, Tell: { nr: Schema.Int } },
  events: {
    Asked: Event.v1({ nr: Schema.Int }),
    Finished: Event.v1({ nr: Schema.Int }),
    GivenUp: Event.v1({}),
    Told: Event.v1({ nr: Schema.Int })
  }
})

export const job = Aggregate.define(Job, {
  initial: null,
  decide: (_state, command) => {
    switch (command._tag) {
      case "Ask":
        return Fx.append(Job.Asked({ nr: command.nr }))
      case "Done":
        return Fx.append(Job.Finished({ nr: command.nr }))
      case "NotDone":
        return Fx.append(Job.GivenUp())
      case "Tell":
        return Fx.append(Job.Told({ nr: command.nr }))
    }
  },
  evolve: () => null,
  // Each job is done, then told of to all.
  react: (_state, event) =>
    event._tag === "Asked"
      ? Fx.perform(Work, event.nr)
      : event._tag === "Finished"
      ? Fx.all(Fx.delay("tell", 20, Job.Tell({ nr: event.nr })), Fx.cancel("other"))
      : Fx.none,
  outcomes: { Work: { success: (nr) => Job.Done({ nr }), failure: () => Job.NotDone() } }
})

export const durableJob = DurableAggregate.make(job, { tasks: [Work] })

export const createRequests = "CREATE TABLE requests (key text NOT NULL, nr int NOT NULL)"

/** Writes down each request in a commit of its own, and fails now and then. */
export const provider = Task.layer(Work, (nr) =>
  Effect.gen(function*() {
    const { idempotencyKey } = yield* Task.Attempt
    const client = yield* PgClient.PgClient
    yield* Effect.orDie(client`INSERT INTO public.requests VALUES (${idempotencyKey}, ${nr})`)
    yield* Effect.sleep(Math.random() * 20)
    if (Math.random() < 0.1) return yield* Effect.fail("stalled" as const)
    return nr
  }))
