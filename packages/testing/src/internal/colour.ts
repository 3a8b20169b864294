/**
 * Colours of a terminal, where it has some.
 */

/** What decides about colours: the variables that people set, and whether somebody watches. */
export interface Terminal {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly isTTY: boolean
}

/** The terminal of this process; one without colours where there is no process, as in a browser. */
const current = (): Terminal =>
  typeof process === "object"
    ? { env: process.env, isTTY: process.stdout?.isTTY === true }
    : { env: {}, isTTY: false }

/** `NO_COLOR` forbids colours, whatever its value; `FORCE_COLOR` demands them where nobody seems to watch. */
export const hasColours = ({ env, isTTY }: Terminal): boolean => {
  const { FORCE_COLOR, NO_COLOR, TERM } = env
  if (NO_COLOR !== undefined && NO_COLOR !== "") return false
  if (FORCE_COLOR !== undefined && FORCE_COLOR !== "") return FORCE_COLOR !== "0" && FORCE_COLOR !== "false"
  return isTTY && TERM !== "dumb"
}

/** Paints text. */
export interface Palette {
  readonly expected: (text: string) => string
  readonly actual: (text: string) => string
  readonly place: (text: string) => string
}

const escape = "\u001b["
const painted = (code: number, end: number) => (text: string): string => `${escape}${code}m${text}${escape}${end}m`
const plain = (text: string): string => text

const colours: Palette = { expected: painted(32, 39), actual: painted(31, 39), place: painted(1, 22) }
const none: Palette = { expected: plain, actual: plain, place: plain }

/** The colours for a terminal; looked at anew each time, because messages are few. */
export const palette = (terminal: Terminal = current()): Palette => hasColours(terminal) ? colours : none
