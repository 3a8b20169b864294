/**
 * Actions, effect descriptions, pure reducers, aggregates and the store; the event store service and its in-memory
 * implementation. Import a module by its path, `@composable-ts/core/Action`, or all of them from here.
 */
export * as Action from "./Action.ts"
export * as Aggregate from "./Aggregate.ts"
export * as Event from "./Event.ts"
export * as EventError from "./EventError.ts"
export * as EventStore from "./EventStore.ts"
export * as EventStoreError from "./EventStoreError.ts"
export * as ExpectedVersion from "./ExpectedVersion.ts"
export * as Fx from "./Fx.ts"
export * as History from "./History.ts"
export * as MemoryEventStore from "./MemoryEventStore.ts"
export type * as RecordedEvent from "./RecordedEvent.ts"
export type * as Reducer from "./Reducer.ts"
export * as Store from "./Store.ts"
export * as StreamId from "./StreamId.ts"
export * as UuidV7 from "./UuidV7.ts"
