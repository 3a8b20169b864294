/**
 * A double of a pooling proxy in transaction mode, as PgBouncer before 1.21: it lends a client a server's connection for
 * one transaction, and then to whoever comes next. It is meaner than most: it hands the connections out in turn, so that
 * two transactions of a client seldom meet on one, and it knows nothing of prepared statements.
 */
import { Effect, type Scope } from "effect"
import { type AddressInfo, connect, createServer, type Socket } from "node:net"

export interface Pooler {
  readonly port: number
  /** How often each SQL state was answered. */
  readonly errors: ReadonlyMap<string, number>
  /** How many notifications came on a connection that was lent to nobody. */
  readonly swallowed: () => number
  /** How many statements with this text were sent, prepared or not. */
  readonly sent: (text: string) => number
  /** How many transactions each server's connection has seen. */
  readonly transactions: () => ReadonlyArray<number>
}

/** Whole messages out of pieces of data. The first of a client has no type. */
class Messages {
  #rest: Buffer = Buffer.alloc(0)
  #untyped: boolean

  constructor(first: "typed" | "untyped") {
    this.#untyped = first === "untyped"
  }

  *of(data: Buffer): Generator<Buffer> {
    this.#rest = Buffer.concat([this.#rest, data])
    while (true) {
      const header = this.#untyped ? 0 : 1
      if (this.#rest.length < header + 4) return
      const length = header + this.#rest.readInt32BE(header)
      if (this.#rest.length < length) return
      const message = this.#rest.subarray(0, length)
      this.#rest = this.#rest.subarray(length)
      const isStartup = this.#untyped && message.readInt32BE(4) >>> 16 === 3
      if (isStartup) this.#untyped = false
      yield message
    }
  }
}

interface Backend {
  readonly socket: Socket
  key: Buffer
  client: Client | undefined
  /** How many answers are owed. */
  owed: number
  transactions: number
}

interface Client {
  readonly socket: Socket
  readonly key: Buffer
  readonly waiting: Array<Buffer>
  backend: Backend | undefined
  isLoggedIn: boolean
}

const cancelRequest = 80_877_102
const sslRequest = 80_877_103

/** The messages that the server answers with ReadyForQuery: Query, Sync, FunctionCall. */
const asksForReady = new Set(["Q", "S", "F"])

/** Forwards to this port of 127.0.0.1 for as long as the scope is open, over no more connections than `size`. */
export const make = (target: number, size: number): Effect.Effect<Pooler, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.callback<Pooler & { readonly close: () => void }>((resume) => {
      const clients = new Set<Client>()
      const backends = new Set<Backend>()
      const idle: Array<Backend> = []
      const queue: Array<Client> = []
      const errors = new Map<string, number>()
      const texts: Array<string> = []
      let swallowed = 0
      let keys = 0

      const lend = (): void => {
        while (idle.length > 0 && queue.length > 0) {
          const client = queue.shift()!
          const backend = idle.shift()!
          client.backend = backend
          backend.client = client
          backend.transactions++
          for (const message of client.waiting.splice(0)) forward(backend, message)
        }
      }

      const forward = (backend: Backend, message: Buffer): void => {
        if (asksForReady.has(String.fromCharCode(message[0]!))) backend.owed++
        backend.socket.write(message)
      }

      const release = (backend: Backend): void => {
        if (backend.client !== undefined) backend.client.backend = undefined
        backend.client = undefined
        idle.push(backend)
        lend()
      }

      const fromBackend = (backend: Backend, message: Buffer): void => {
        const { client } = backend
        const type = String.fromCharCode(message[0]!)
        if (type === "K") {
          backend.key = Buffer.from(message.subarray(5))
          if (client !== undefined) message = Buffer.concat([message.subarray(0, 5), client.key])
        }
        if (type === "E") {
          const state = /\0C([0-9A-Z]{5})\0/.exec(`\0${message.subarray(5).toString()}`)?.[1] ?? ""
          errors.set(state, (errors.get(state) ?? 0) + 1)
        }
        if (client === undefined) {
          if (type === "A") swallowed++
          return
        }
        client.socket.write(message)
        if (type !== "Z") return
        if (!client.isLoggedIn) {
          client.isLoggedIn = true
          // Each client logs in over a connection of its own; those beyond the pool's size are not kept.
          if (backends.size <= size) return release(backend)
          client.backend = undefined
          backend.client = undefined
          return void backend.socket.destroy()
        }
        backend.owed--
        if (backend.owed === 0 && message[5] === 0x49) release(backend)
      }

      const openBackend = (client: Client, startup: Buffer): void => {
        const backend: Backend = {
          socket: connect(target, "127.0.0.1"),
          key: Buffer.alloc(8),
          client,
          owed: 0,
          transactions: 0
        }
        backends.add(backend)
        client.backend = backend
        const messages = new Messages("typed")
        backend.socket.setNoDelay(true)
        backend.socket.write(startup)
        backend.socket.on("data", (data: Buffer) => {
          for (const message of messages.of(data)) fromBackend(backend, message)
        })
        backend.socket.on("error", () => backend.socket.destroy())
        backend.socket.on("close", () => {
          backends.delete(backend)
          if (idle.includes(backend)) idle.splice(idle.indexOf(backend), 1)
          backend.client?.socket.destroy()
        })
      }

      const cancel = (client: Socket, message: Buffer): void => {
        const key = message.subarray(8, 16)
        const backend = [...clients].find((other) => other.key.equals(key))?.backend
        if (backend === undefined) return void client.destroy()
        const socket = connect(target, "127.0.0.1")
        socket.on("error", () => client.destroy())
        socket.on("close", () => client.destroy())
        socket.write(Buffer.concat([message.subarray(0, 8), backend.key]))
      }

      const fromClient = (client: Client, message: Buffer): void => {
        if (client.isLoggedIn) {
          const type = String.fromCharCode(message[0]!)
          if (type === "X") return void client.socket.destroy()
          if (type === "P" || type === "Q") texts.push(message.subarray(5).toString())
          if (client.backend !== undefined) return forward(client.backend, message)
          client.waiting.push(message)
          if (!queue.includes(client)) queue.push(client)
          return lend()
        }
        if (client.backend !== undefined) return void client.backend.socket.write(message)
        switch (message.readInt32BE(4)) {
          case sslRequest:
            return void client.socket.write("N")
          case cancelRequest:
            return cancel(client.socket, message)
          default:
            return openBackend(client, message)
        }
      }

      const listener = createServer((socket) => {
        const key = Buffer.alloc(8)
        key.writeInt32BE(++keys, 0)
        const client: Client = { socket, key, waiting: [], backend: undefined, isLoggedIn: false }
        clients.add(client)
        const messages = new Messages("untyped")
        socket.setNoDelay(true)
        socket.on("data", (data: Buffer) => {
          for (const message of messages.of(data)) fromClient(client, message)
        })
        socket.on("error", () => socket.destroy())
        socket.on("close", () => {
          clients.delete(client)
          if (queue.includes(client)) queue.splice(queue.indexOf(client), 1)
          // In the middle of a transaction: nobody else may have it.
          client.backend?.socket.destroy()
        })
      })
      listener.listen(0, "127.0.0.1", () => {
        resume(Effect.succeed({
          port: (listener.address() as AddressInfo).port,
          errors,
          swallowed: () => swallowed,
          sent: (text) => texts.filter((sent) => sent.includes(text)).length,
          transactions: () => [...backends].map(({ transactions }) => transactions),
          close: () => {
            listener.close()
            for (const { socket } of [...clients, ...backends]) socket.destroy()
          }
        }))
      })
    }),
    ({ close }) => Effect.sync(close)
  )
