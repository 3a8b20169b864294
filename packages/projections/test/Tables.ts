/**
 * Fresh databases with the tables of projections, and nothing in them.
 */
import * as TestDatabase from "@composable-ts/testing/TestDatabase"
import { type Duration, Layer } from "effect"
import * as Checkpoint from "../src/Checkpoint.ts"
import { migrate } from "../src/internal/schema.ts"
import * as Lease from "../src/Lease.ts"

/** The tables, and the clients of their database. */
export const tables = TestDatabase.layerMigrated("projections", Layer.effectDiscard(migrate))

/** The checkpoints of such a database, too. */
export const checkpoints = Checkpoint.layer.pipe(Layer.provideMerge(tables))

/** The leases of such a database, too, which last for so long. */
export const leases = (time: Duration.Input) =>
  Lease.layer.pipe(Layer.provideMerge(tables), Layer.provide(Layer.succeed(Lease.Time, time)))
