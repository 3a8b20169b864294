/** Emmett with the defaults of its documentation: batches of 100 events, a look every 50 ms, read models in Pongo. */
import { serveTurns } from "../PeerProgram.ts"
import { turns } from "./emmettTurns.ts"

serveTurns(turns({ connections: undefined, pulling: undefined, readModel: "documents" }))
