/**
 * The process that holds an embedded PostgreSQL for as long as any client is connected. It is started detached, in a
 * session of its own, so that a terminal's Ctrl-C reaches neither it nor the server; it lives by its connections
 * alone, which the kernel closes however a client ends. Descriptor 3 is the connection to the client that started it.
 */
import { randomBytes } from "node:crypto"
import { closeSync, readdirSync, readFileSync } from "node:fs"
import { chmod, mkdir, readFile, realpath, rename, stat, symlink, writeFile } from "node:fs/promises"
import { createServer, Socket } from "node:net"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import * as ClusterPlace from "./clusterPlace.ts"
import { errorCode } from "./errorCode.ts"
import { claim } from "./hostClaim.ts"
import {
  encode,
  type Failure,
  HostFailure,
  type HostOptions,
  onMessages,
  type Reply,
  type Request,
  type Settings,
  toFailure
} from "./hostProtocol.ts"
import { makeFolder } from "./makeFolder.ts"
import * as PostgresBinaries from "./postgresBinaries.ts"
import * as Postmaster from "./postmaster.ts"
import * as RuntimeFolder from "./runtimeFolder.ts"
import { handOver, type ServiceUser, serviceUser } from "./serviceUser.ts"

type Phase = "starting" | "ready" | "killed" | "stopping"

const options: HostOptions = JSON.parse(process.argv[2] ?? "{}")
const clients = new Set<Socket>()
let phase: Phase = "starting"
let runtime: RuntimeFolder.RuntimeFolder | undefined
let cluster: Postmaster.Cluster | undefined
let server: Postmaster.Postmaster | undefined
let ready: Extract<Reply, { type: "ready" }> | undefined
let sweeping: Promise<unknown> = Promise.resolve()
let work: Promise<unknown> = Promise.resolve()

const broadcast = (reply: Reply): Promise<unknown> =>
  Promise.race([
    Promise.all(
      [...clients].map((socket) => new Promise<void>((resolve) => socket.write(encode(reply), () => resolve())))
    ),
    sleep(1000)
  ])

const sameSettings = (left: Settings, right: Settings): boolean =>
  JSON.stringify(Object.entries(left).sort()) === JSON.stringify(Object.entries(right).sort())

const settingsDiffer = (): Failure => ({
  reason: "SettingsDiffer",
  message: `The embedded PostgreSQL of ${options.dataDir} already runs for another process, with other settings: `
    + `${JSON.stringify(options.settings)}. Ask for the same settings, or choose another data folder.`,
  log: ""
})

const attach = (socket: Socket): void => {
  onMessages<Request>(socket, (request) => {
    work = work.then(() => request.type === "join" ? admit(socket, request.settings) : serve(socket, request.type))
  })
  const leave = () => {
    if (clients.delete(socket) && clients.size === 0) void shutDown()
    // The last to leave keeps its connection until the server has gone: that is how it knows.
    if (phase !== "stopping") socket.end()
  }
  socket.once("end", leave)
  socket.once("close", leave)
  socket.on("error", leave)
}

// A connection counts from its first message on: rival hosts connect just to see whether we live.
const admit = (socket: Socket, settings: Settings): void => {
  if (phase === "stopping") return
  if (!sameSettings(settings, options.settings)) {
    socket.end(encode({ type: "failed", failure: settingsDiffer() }))
    return
  }
  clients.add(socket)
  if (phase === "killed") socket.write(encode({ type: "failed", failure: killed() }))
  else if (ready !== undefined) socket.write(encode(ready))
}

const killed = (): Failure => ({
  reason: "ServerStopped",
  message: "The embedded PostgreSQL was killed on request and has not been restarted. Restart it first.",
  log: ""
})

const serve = async (socket: Socket, type: "kill" | "restart"): Promise<void> => {
  if (isStopping() || cluster === undefined || server === undefined) return
  try {
    const wasKilled = phase === "killed"
    phase = "killed"
    if (type === "kill") {
      if (!wasKilled) await Postmaster.kill(server)
    } else {
      if (!wasKilled) await Postmaster.stop(server, "fast")
      server = await Postmaster.startOn(cluster, server.port)
      void watch(server, cluster.logFile)
      // The last client may have left while the server started.
      if (!isStopping()) phase = "ready"
    }
    socket.write(encode({ type: "done" }))
  } catch (error) {
    socket.write(encode({ type: "refused", failure: toFailure(error) }))
  }
}

const isStopping = () => phase === "stopping"

/** Tells the clients when a server ends that nobody asked to end, and ends with it. */
const watch = async (watched: Postmaster.Postmaster, logFile: string): Promise<void> => {
  const how = await watched.exited
  if (phase !== "ready" || server !== watched) return
  const failure: Failure = {
    reason: "ServerStopped",
    message: `The embedded PostgreSQL ended unexpectedly (${how}). Start it again: it recovers what was committed.`,
    log: await Postmaster.tail(logFile)
  }
  await broadcast({ type: "stopped", failure })
  await shutDown()
}

const shutDown = async (): Promise<void> => {
  if (phase === "stopping") return
  phase = "stopping"
  await starting
  await work
  await end()
}

/** Stops the server if it runs, removes what is temporary, and ends the process, which tells the last clients. */
const end = async (): Promise<never> => {
  phase = "stopping"
  if (server !== undefined) await Postmaster.stop(server, options.dataDir === undefined ? "immediate" : "fast")
  await sweeping
  if (runtime !== undefined) await RuntimeFolder.remove(runtime)
  process.exit()
}

const fail = async (error: unknown): Promise<void> => {
  phase = "stopping"
  await broadcast({ type: "failed", failure: toFailure(error) })
  await end()
}

const listen = async ({ path, socketPath }: RuntimeFolder.RuntimeFolder): Promise<void> => {
  const local = createServer({ allowHalfOpen: true }, attach)
  // Renamed into place when it already accepts: seen under its name, a socket that refuses belongs to a dead host.
  const unfinished = join(path, "socket.new")
  await new Promise<void>((resolve, reject) => {
    local.once("error", reject)
    local.listen(unfinished, resolve)
  })
  await chmod(unfinished, 0o600)
  await rename(unfinished, socketPath)
}

const readPassword = async (dataDir: string, clusterExists: boolean): Promise<string> => {
  const file = join(dataDir, "password")
  try {
    return await readFile(file, "utf8")
  } catch (error) {
    if (errorCode(error) !== "ENOENT") throw error
    if (clusterExists) {
      throw new HostFailure(
        "DataFolder",
        `${file} is missing, so nobody can log in to the cluster beside it. Restore it, or delete ${dataDir} if its data `
          + "can be spared."
      )
    }
    const password = randomBytes(24).toString("base64url")
    await writeFile(file, password, { mode: 0o600, flag: "wx" })
    return password
  }
}

const isFolder = (path: string): Promise<boolean> =>
  stat(path).then((stats) => stats.isDirectory(), (error: unknown) => {
    if (errorCode(error) === "ENOENT") return false
    throw error
  })

/** A cluster belongs to whoever made it; PostgreSQL runs only as its owner. */
const ownerOf = async (folder: string, user: ServiceUser): Promise<ServiceUser> => {
  const { gid, uid } = await stat(folder)
  if (uid !== 0) return { uid, gid }
  await handOver(folder, user)
  return user
}

const checkVersion = async (folder: string, major: string): Promise<void> => {
  const found = (await readFile(join(folder, "PG_VERSION"), "utf8")).trim()
  if (found !== major) {
    throw new HostFailure(
      "DataFolder",
      `The cluster in ${folder} was made by PostgreSQL ${found}; this is PostgreSQL ${major}, which cannot read it. `
        + "Export its data with the earlier version, or choose another data folder."
    )
  }
}

const startServer = async (user: ServiceUser | undefined, runtime: RuntimeFolder.RuntimeFolder, dataDir: string) => {
  const found = await PostgresBinaries.locate()
  const folder = await ClusterPlace.find(dataDir, user)
  const clusterExists = await isFolder(folder)
  const password = await readPassword(dataDir, clusterExists)
  const owner = clusterExists && user !== undefined ? await ownerOf(folder, user) : user
  const binaries = await PostgresBinaries.canRun(found, owner)
    ? found
    : PostgresBinaries.offerAt(found, join(runtime.path, "native"))
  if (clusterExists) {
    await checkVersion(folder, binaries.major)
    const orphan = await Postmaster.findPostmaster(await realpath(folder))
    if (orphan !== undefined) await Postmaster.stopProcess(orphan)
  } else {
    const durable = options.dataDir !== undefined
    await Postmaster.initialise({ folder, binaries, user: owner, password, scratch: runtime.path, durable })
  }
  cluster = {
    folder: await realpath(folder),
    binaries,
    user: owner,
    settings: options.settings,
    logFile: join(dataDir, "postgres.log")
  }
  server = await Postmaster.start(cluster)
  void watch(server, cluster.logFile)
  const url = `postgresql://${Postmaster.superuser}:${password}@127.0.0.1:${server.port}/postgres`
  ready = { type: "ready", url, dataDir, port: server.port }
}

const start = async (): Promise<void> => {
  try {
    const user = await serviceUser()
    runtime = await RuntimeFolder.create(user)
    if (options.dataDir === undefined) {
      await mkdir(runtime.dataPath)
      await chmod(runtime.dataPath, user === undefined ? 0o700 : 0o711)
    } else {
      await makeFolder(options.dataDir)
      await symlink(await realpath(options.dataDir), runtime.dataPath)
    }
    const dataDir = await realpath(runtime.dataPath)
    await listen(runtime)
    if (!(await claim(dataDir, runtime.socketPath))) {
      phase = "stopping"
      await broadcast({ type: "lost" })
      return await end()
    }
    // What cannot be swept is no reason to refuse service; the next host tries it again.
    sweeping = Promise.allSettled([RuntimeFolder.sweep(), user === undefined ? undefined : ClusterPlace.sweep()])
    await startServer(user, runtime, dataDir)
  } catch (error) {
    return await fail(error)
  }
  if (phase === "starting" && ready !== undefined) {
    phase = "ready"
    await broadcast(ready)
  }
}

/**
 * Closes what a careless parent left open for its children, apart from the connection to our client. Node does so for
 * the lowest descriptors only; a pipe among the others would not end for its reader while the server runs.
 */
const closeInherited = (): void => {
  if (process.platform !== "linux") return
  const closeOnExec = 0o2000000
  for (const fd of readdirSync("/proc/self/fd").map(Number).filter((fd) => fd > 3)) {
    try {
      const flags = /^flags:\s*([0-7]+)/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "utf8"))?.[1]
      // What Node opened for itself is closed on exec.
      if (flags !== undefined && (Number.parseInt(flags, 8) & closeOnExec) === 0) closeSync(fd)
    } catch (error) {
      // The descriptor by which the folder was read.
      if (errorCode(error) !== "ENOENT" && errorCode(error) !== "EBADF") throw error
    }
  }
}

closeInherited()
process.on("SIGINT", () => {})
process.on("SIGHUP", () => {})
process.on("SIGTERM", () => void shutDown())
process.on("uncaughtException", (error) => {
  // Failing to stop must not be tried for ever: what is left behind is tidied up by the next host.
  if (phase === "stopping") process.exit(1)
  void fail(error)
})

const parent = new Socket({ fd: 3, readable: true, writable: true, allowHalfOpen: true })
clients.add(parent)
attach(parent)
const starting = start()
