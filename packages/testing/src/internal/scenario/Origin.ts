/**
 * Where in the test an effect came from: the step of the story that led to it.
 */

/** A trace that starts at a line of the test. Written out only when a message needs it: that costs more than a step. */
export interface Site {
  readonly stack?: string
}

/** The step of the story that something came from. */
export interface Origin {
  /** In words: `send 2, Place`. */
  readonly step: string
  readonly site: Site
}

/** The place from which a method of the story was called. */
export const siteOf = (method: (...given: never) => unknown): Site => {
  const site: Site = {}
  Error.captureStackTrace(site, method)
  return site
}

/** The frames of a trace, without what is above them. */
export const framesOf = ({ stack = "" }: Site): ReadonlyArray<string> =>
  stack.split("\n").filter((line) => /^\s+at /.test(line))

const place = /([^/\\(\s]+:\d+):\d+\)?$/

/** The line of the test, as `Orders.test.ts:12`; nothing where the runtime does not tell. */
const lineOf = (site: Site): string | undefined => place.exec(framesOf(site)[0] ?? "")?.[1]

export const describeOrigin = ({ site, step }: Origin): string => {
  const line = lineOf(site)
  return line === undefined ? step : `${step} (${line})`
}
