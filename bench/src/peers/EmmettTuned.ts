/**
 * Emmett with the best settings that were found: a connection for each caller, no look at the schema before each call, all
 * events in one batch, no pause between two, and read models written by prepared statements.
 */
import { serveTurns } from "../PeerProgram.ts"
import { turns } from "./emmettTurns.ts"

serveTurns(
  turns({ connections: 32, pulling: { batchSize: 10_000, pullingFrequencyInMs: 0 }, readModel: "statements" })
)
