/**
 * Proofs for the compiler: these files are type-checked with everything else and never run.
 */

/** Whether two types are the same, down to `readonly` and optional members. */
export type Equals<A, B> = (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true : false

/** Compiles only for what is true. */
export type Proof<Claim extends true> = Claim

/** A type with its intersections and mapped members written out, so that it can be compared with one written by hand. */
export type Flat<T> = T extends object ? { [K in keyof T]: T[K] } : T

/** A value of a type, for code that is not run. */
export declare const a: <T>() => T
