/**
 * A TCP proxy that breaks connections at moments that a test chooses by what the client sends.
 */
import { Effect, type Scope } from "effect"
import { type AddressInfo, connect, createServer, type Socket } from "node:net"

/**
 * What happens to the connection at the next piece of data from the client for which `when` holds:
 *
 * - `requestLost`: nothing of it reaches the server, and both sides are reset.
 * - `requestCut`: only half of it reaches the server.
 * - `requestUnanswered`: all of it reaches the server; the client is reset at once.
 * - `replyLost`: the server's answer is awaited, then both sides are reset and the client has none of it.
 * - `replyCut`: the client has half of the answer's first piece.
 * - `silenceAfterReply`: the answer's first piece reaches the client, and from then on nothing does; the connection stays.
 * - `silentReply`: all of it reaches the server, and nothing that the server says from then on the client; the connection
 *   stays.
 * - `silence`: neither this nor anything later reaches the other side; the connection stays.
 */
export interface Fault {
  readonly when: (data: Buffer) => boolean
  readonly kind:
    | "requestLost"
    | "requestCut"
    | "requestUnanswered"
    | "replyLost"
    | "replyCut"
    | "silenceAfterReply"
    | "silentReply"
    | "silence"
}

export interface TcpProxy {
  readonly port: number
  /** Arranges for a fault, to happen once. */
  readonly arrange: (fault: Fault) => void
  /**
   * Arranges for a cut in the midst of what flows: so many bytes more in this direction, over whichever connections, and
   * the connection that carries the last of them is reset on both sides.
   */
  readonly cutAfter: (direction: "request" | "reply", bytes: number) => void
  /** How many of the arranged faults have happened. */
  readonly happened: () => number
  /** Forwards nothing any more, in either direction, on connections old and new; they all stay open. */
  readonly blackhole: () => void
  /** The same for those connections alone that are open and whose first data is such. */
  readonly silence: (when: (data: Buffer) => boolean) => void
  /** How many sockets are open, two for each connection. */
  readonly open: () => number
  /** Forwards new connections to this port from now on, and resets the others: as when another server takes over. */
  readonly retarget: (port: number) => void
  /** Resets every connection. */
  readonly resetAll: () => void
  /** Resets every connection, and refuses any other from now on. */
  readonly close: () => void
}

/** As much of what a client sends is remembered. */
const firstBytes = 4_096

/** Forwards to this port of 127.0.0.1 for as long as the scope is open. */
export const make = (target: number): Effect.Effect<TcpProxy, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.callback<TcpProxy>((resume) => {
      const sockets = new Set<Socket>()
      const arranged: Array<Fault> = []
      const cuts = { request: new Array<number>(), reply: new Array<number>() }
      let happened = 0
      const silencers = new Map<Socket, (when: (data: Buffer) => boolean) => void>()
      let isBlack = false
      let current = target
      /** How much of it goes through before a cut; undefined when there is none. */
      const takeCut = (direction: keyof typeof cuts, data: Buffer): number | undefined => {
        const left = cuts[direction][0]
        if (left === undefined) return undefined
        if (left > data.length) {
          cuts[direction][0] = left - data.length
          return undefined
        }
        happened++
        return cuts[direction].shift()
      }
      const takeFault = (data: Buffer): Fault["kind"] | undefined => {
        const index = arranged.findIndex(({ when }) => when(data))
        if (index < 0) return undefined
        happened++
        return arranged.splice(index, 1)[0]?.kind
      }

      const forward = (client: Socket): void => {
        const server = connect(current, "127.0.0.1")
        let first: Buffer = Buffer.alloc(0)
        let isSilenced = false
        const isSilent = (): boolean => isBlack || isSilenced
        silencers.set(client, (when) => {
          isSilenced ||= when(first)
        })
        let reply: "pass" | "lose" | "cut" | "last" | "none" = "pass"
        const reset = (): void => {
          client.resetAndDestroy()
          server.resetAndDestroy()
        }
        for (const [socket, other] of [[client, server], [server, client]] as const) {
          sockets.add(socket)
          socket.setNoDelay(true)
          socket.on("error", reset)
          socket.on("end", () => other.end())
          socket.on("close", () => {
            sockets.delete(socket)
            silencers.delete(socket)
            other.destroy()
          })
        }
        client.on("data", (data: Buffer) => {
          if (first.length < firstBytes) first = Buffer.concat([first, data]).subarray(0, firstBytes)
          if (isSilent()) return
          const cut = takeCut("request", data)
          if (cut !== undefined) return void server.write(data.subarray(0, cut), reset)
          switch (takeFault(data)) {
            case "requestLost":
              return reset()
            case "requestCut":
              return void server.write(data.subarray(0, data.length / 2), reset)
            case "requestUnanswered":
              return void server.write(data, () => client.resetAndDestroy())
            case "silence":
              isSilenced = true
              return
            case "replyLost":
              reply = "lose"
              break
            case "replyCut":
              reply = "cut"
              break
            case "silenceAfterReply":
              reply = "last"
              break
            case "silentReply":
              reply = "none"
              break
          }
          return void server.write(data)
        })
        server.on("data", (data: Buffer) => {
          if (isSilent()) return
          const cut = takeCut("reply", data)
          if (cut !== undefined) return void client.write(data.subarray(0, cut), reset)
          switch (reply) {
            case "pass":
              return void client.write(data)
            case "lose":
              return reset()
            case "cut":
              return void client.write(data.subarray(0, data.length / 2), reset)
            case "last":
              reply = "none"
              return void client.write(data)
            case "none":
              return
          }
        })
      }

      const listener = createServer(forward)
      listener.listen(0, "127.0.0.1", () => {
        const { port } = listener.address() as AddressInfo
        const resetAll = (): void => {
          for (const socket of sockets) socket.resetAndDestroy()
        }
        resume(Effect.succeed({
          port,
          arrange: (fault) => void arranged.push(fault),
          cutAfter: (direction, bytes) => void cuts[direction].push(bytes),
          happened: () => happened,
          blackhole: () => {
            isBlack = true
          },
          silence: (when) => {
            for (const silence of silencers.values()) silence(when)
          },
          open: () => sockets.size,
          retarget: (port) => {
            current = port
            resetAll()
          },
          resetAll,
          close: () => {
            listener.close()
            resetAll()
          }
        }))
      })
    }),
    ({ close }) => Effect.sync(close)
  )
