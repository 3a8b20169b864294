/**
 * A worker: runs the saga and carries out what it wants done, until it is ended. Any number of them share the work.
 *
 *   DATABASE_URL=… node src/worker.ts
 */
import * as Worker from "chaos/Worker"
import { Effect } from "effect"
import { layerOn, run } from "./Transfers.ts"

Worker.main(({ database, lease }) => Effect.provide(run({ lease }), layerOn(database)))
