/**
 * What a process that runs tallies is told to do.
 */

/** Where something may happen to a process. */
export const points = [
  "after a read",
  "before a handler",
  "after a handler",
  "before a commit",
  "after a commit"
] as const

/** One of {@link points}. */
export type Point = (typeof points)[number]

/** What a process shall do. */
export interface Orders {
  readonly url: string
  /** The names of the tallies. */
  readonly tallies: ReadonlyArray<string>
  /** How long its leases last, in milliseconds. */
  readonly lease: number
  /** What happens to it when it comes to a point for the count-th time, or so many milliseconds later. */
  readonly fate?: {
    readonly signal: "SIGKILL" | "SIGSTOP"
    readonly point: Point
    readonly count: number
    readonly delay: number
  }
  /** By how many milliseconds its clock is wrong. */
  readonly clock?: number
  /** Whether the checkpoint moves whoever asks: the control of what the fence is for. */
  readonly unfenced?: boolean
}
