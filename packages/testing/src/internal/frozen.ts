/**
 * Values that cannot be changed without anybody noticing.
 */
import { isRecord } from "./differences.ts"

/**
 * Freezes records and arrays, however deep, so that whoever changes one throws. Instances of classes stay as they are:
 * some of them remember what they have computed, which is nobody's business.
 */
export const frozen = <A>(value: A): A => {
  // What is frozen was frozen here, or is a constant: either way its members are as frozen as they will be.
  if (!isRecord(value) || Object.isFrozen(value)) return value
  Object.freeze(value)
  for (const key of Reflect.ownKeys(value)) frozen(value[key])
  return value
}
