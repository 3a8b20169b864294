/**
 * What an append forbids.
 */
import * as Action from "@composable-ts/core/Action"
import * as Event from "@composable-ts/core/Event"
import type { Service } from "@composable-ts/core/EventStore"
import * as ExpectedVersion from "@composable-ts/core/ExpectedVersion"
import type { EncodedEvent } from "@composable-ts/core/RecordedEvent"
import type { StreamId } from "@composable-ts/core/StreamId"
import { a } from "./Proof.ts"

const Door = Action.define("Door", { commands: { Open: {} }, events: { Opened: Event.v1({}) } })

const store = a<Service>()
const streamId = a<StreamId>()
const event = a<EncodedEvent>()
const { any } = ExpectedVersion

store.append(streamId, any, [event])
store.append(streamId, any, [event, event], { commandId: "c", metadata: { user: "Ada" } })

// @ts-expect-error -- no expected version: there is no default
store.append(streamId, [event])
// @ts-expect-error -- no expected version
store.append(streamId, undefined, [event])
// @ts-expect-error -- a number says nothing about streams that may not exist: it is exact(5)
store.append(streamId, 5, [event])
// @ts-expect-error -- no events
store.append(streamId, any, [])
// @ts-expect-error -- what may be no events
store.append(streamId, any, a<ReadonlyArray<EncodedEvent>>())
// @ts-expect-error -- text that was not checked is no stream
store.append("door-1", any, [event])
// @ts-expect-error -- an event that was not encoded
store.append(streamId, any, [Door.Opened()])
// @ts-expect-error -- a command
store.append(streamId, any, [Door.Open()])
// @ts-expect-error -- an event made by hand
store.append(streamId, any, [{ type: "Opened.v1", data: {} }])
// @ts-expect-error -- metadata that JSON cannot hold
store.append(streamId, any, [event], { metadata: { at: new Date() } })
// @ts-expect-error -- no such option
store.append(streamId, any, [event], { comandId: "c" })
// @ts-expect-error -- no appends
store.transact([])
// @ts-expect-error -- an append of a transact without an expected version
store.transact([{ streamId, events: [event] }])
// @ts-expect-error -- an append of a transact without events
store.transact([{ streamId, expected: any, events: [] }])
// @ts-expect-error -- positions are bigint
store.readAll({ after: 0, limit: 10 })
// @ts-expect-error -- a page has a limit
store.readAll({ after: 0n })
// @ts-expect-error -- where to begin is said, not guessed
store.subscribe({})
// @ts-expect-error -- no such direction
store.read(streamId, { direction: "sideways" })
