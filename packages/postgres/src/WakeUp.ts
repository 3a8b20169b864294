/**
 * How the readers of a log learn that something was appended.
 */
import type * as Duration from "effect/Duration"

/**
 * How a store learns of appends. All settings have defaults.
 *
 * With `listen`, the store holds one connection of its own, beside the client's pool, and LISTENs on it, from the first
 * subscription until it is closed. It proves at the start, and after each reconnection, that a NOTIFY of the pool arrives there. Behind a proxy that lends a server's
 * connection only for a transaction none does: the store then says so once, polls, and tries again every minute. It also
 * polls while that connection is lost. Choose `poll` to spare the attempt where it is known to be vain.
 *
 * Polling is one statement for all readers of the store, and only while one waits. It comes quickly after an append,
 * then ever more seldom: an append waits for a fifth of the time since the last one, at the most `longestPause`.
 *
 * Such a proxy must know prepared statements (PgBouncer from 1.21, with `max_prepared_statements` above 0), or the client
 * must be made with `prepare: false`: else a statement in a transaction may fail, for its name is unknown to the server's
 * connection.
 */
export interface WakeUp {
  /** Default `listen`. */
  readonly by?: "listen" | "poll" | undefined
  /**
   * How often to make sure that the connection that listens still does. An answer is waited for as long again; then the
   * connection is replaced and everyone woken. Default 5 seconds.
   */
  readonly heartbeat?: Duration.Input | undefined
  /** The longest pause between two looks at the log; with `listen`, too, as a safety net. Default 1 second. */
  readonly longestPause?: Duration.Input | undefined
}

/** How a store learns of appends right now. */
export interface State {
  /** Whether notifications arrive. */
  readonly listening: boolean
  /**
   * Why it does not; undefined while it listens. `unused`: nobody has subscribed yet, so it does neither. Else it polls.
   */
  readonly reason: "unused" | "chosen" | "connecting" | "lost or refused" | "notifications do not arrive" | undefined
  /** When the listening connection last proved to be alive, in milliseconds since the Unix epoch. */
  readonly lastHeartbeat: number | undefined
  /** How often listening was begun anew after it had worked. */
  readonly reconnects: number
}
