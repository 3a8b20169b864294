import * as MemoryEventBus from "@composable-ts/core/MemoryEventBus"
import * as EventBusContract from "@composable-ts/testing/EventBusContract"

EventBusContract.suite("MemoryEventBus", MemoryEventBus.layer)
