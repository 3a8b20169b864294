/**
 * An alarm clock: one alarm at a time, which another one replaces, and which can be silenced.
 */
import * as Action from "@composable-ts/core/Action"
import * as Aggregate from "@composable-ts/core/Aggregate"
import * as DurableAggregate from "@composable-ts/core/DurableAggregate"
import * as Event from "@composable-ts/core/Event"
import * as Fx from "@composable-ts/core/Fx"
import { Schema } from "effect"

export const Alarm = Action.define("Alarm", {
  commands: { Wind: { nr: Schema.Int, millis: Schema.Int }, Silence: {}, Ring: { nr: Schema.Int } },
  events: {
    Wound: Event.v1({ nr: Schema.Int, millis: Schema.Int }),
    Silenced: Event.v1({}),
    Rang: Event.v1({ nr: Schema.Int })
  }
})

/** It rings whenever it is told to, be it silenced: whether that can happen is what the tests ask. */
export const alarm = Aggregate.define(Alarm, {
  initial: [] as ReadonlyArray<string>,
  decide: (_state, command) => {
    switch (command._tag) {
      case "Wind":
        return Fx.append(Alarm.Wound(command))
      case "Silence":
        return Fx.append(Alarm.Silenced())
      case "Ring":
        return Fx.append(Alarm.Rang(command))
    }
  },
  evolve: (
    state,
    event
  ) => [...state, event._tag === "Silenced" ? "silenced" : `${event._tag.toLowerCase()} ${event.nr}`],
  react: (_state, event) => {
    switch (event._tag) {
      case "Wound":
        return Fx.debounce("alarm", event.millis, Alarm.Ring({ nr: event.nr }))
      case "Silenced":
        return Fx.cancel("alarm")
      case "Rang":
        return Fx.none
    }
  }
})

export const durableAlarm = DurableAggregate.make(alarm)
