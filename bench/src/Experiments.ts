/**
 * All experiments, in the order of the table.
 */
import type { Experiment } from "./Contest.ts"
import * as Append from "./experiments/Append.ts"
import * as Bulk from "./experiments/Bulk.ts"
import * as CatchUp from "./experiments/CatchUp.ts"
import * as Checks from "./experiments/Checks.ts"
import * as Command from "./experiments/Command.ts"
import * as Dispatch from "./experiments/Dispatch.ts"
import * as Durable from "./experiments/Durable.ts"
import * as InMemory from "./experiments/InMemory.ts"
import * as Lag from "./experiments/Lag.ts"
import * as Load from "./experiments/Load.ts"
import * as Projections from "./experiments/Projections.ts"
import * as Read from "./experiments/Read.ts"
import * as Sagas from "./experiments/Sagas.ts"

/** What `pnpm bench` measures. */
export const all: ReadonlyArray<Experiment> = [
  ...Append.experiments,
  ...Bulk.experiments,
  ...Command.experiments,
  ...Read.experiments,
  ...Load.experiments,
  ...InMemory.experiments,
  ...Checks.experiments,
  ...Dispatch.experiments,
  ...CatchUp.experiments,
  ...Projections.experiments,
  ...Lag.experiments,
  ...Durable.experiments,
  ...Sagas.experiments
]

/** The ids of their rows. */
export const ids: ReadonlyArray<string> = all.flatMap(({ measures }) => measures.map(({ id }) => id))
