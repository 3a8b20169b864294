/**
 * What publishing and subscribing forbid.
 */
import * as Action from "@composable-ts/core/Action"
import * as Event from "@composable-ts/core/Event"
import type { Service } from "@composable-ts/core/EventBus"
import * as Message from "@composable-ts/core/Message"
import type { EncodedEvent, RecordedEvent } from "@composable-ts/core/RecordedEvent"
import { a } from "./Proof.ts"

const Door = Action.define("Door", { commands: { Open: {} }, events: { Opened: Event.v1({}) } })

const bus = a<Service>()
const event = a<EncodedEvent>()
const context = { id: "m", time: 0 }

bus.publish("doors", Message.make(event, context))
bus.publish("doors", Message.make(event, a<Action.Meta>()))
bus.publish("doors", Message.ofRecorded(a<RecordedEvent>()))
bus.subscribe(["doors"], { strategy: "suspend" })
bus.subscribe(["doors", "gates"], { strategy: "sliding", capacity: 5, group: "mailers" })

// @ts-expect-error -- a command
bus.publish("doors", Door.Open())
// @ts-expect-error -- a command, as a message
Message.make(Door.Open(), context)
// @ts-expect-error -- an event that was not encoded
Message.make(Door.Opened(), context)
// @ts-expect-error -- an event made by hand
Message.make({ type: "Opened.v1", data: {} }, context)
// @ts-expect-error -- a command is no event of the log
Message.ofRecorded(Door.Open())
// @ts-expect-error -- an event without what makes it recognisable
bus.publish("doors", event)
// @ts-expect-error -- a message made by hand
bus.publish("doors", { ...a<RecordedEvent>(), id: "m", time: 0, origin: null })
// @ts-expect-error -- no id: a second delivery could not be told from the first
Message.make(event, { time: 0 })
// @ts-expect-error -- metadata that JSON cannot hold
Message.make(event, { ...context, metadata: { at: new Date() } })
// @ts-expect-error -- what happens to a slow subscriber is said, not guessed
bus.subscribe(["doors"], { capacity: 5 })
// @ts-expect-error -- no such strategy
bus.subscribe(["doors"], { strategy: "block" })
