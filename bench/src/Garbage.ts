/**
 * The garbage collector, called by hand: a round begins with a clean heap, so that nobody pays for others' garbage.
 */
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"

setFlagsFromString("--expose-gc")

/** Collects all garbage of this process now. */
export const collect = runInNewContext("gc") as () => void
