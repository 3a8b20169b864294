/**
 * `todo`: the program, with a subcommand for everything that it does.
 */
import { Console, Effect, Stream } from "effect"
import { Argument, Command, Flag, GlobalFlag } from "effect/cli"
import { resolve } from "node:path"
import { isTodoRefusal, type Todo, type TodoCommand as Asked, TodoList } from "../TodoList.ts"
import { layerIn, Todos } from "../Todos.ts"

/** `--data DIR`. */
const DataFolder = GlobalFlag.Setting("data")({
  flag: Flag.String("data").pipe(
    Flag.withMetavar("DIR"),
    Flag.withDescription("The folder that keeps the list between commands, unless DATABASE_URL names a database"),
    Flag.withDefault(".todo")
  )
})

/** The one list of this program. */
const list = "mine"

/** A package manager runs a script in the folder of its package, and says in `INIT_CWD` where the user was. */
const userFolder = (): string => process.env["INIT_CWD"] ?? process.cwd()

/** Runs a program on the list that the flag names. */
const onList = <A, E>(program: Effect.Effect<A, E, Todos>) =>
  Effect.flatMap(DataFolder, (folder) => Effect.provide(program, layerIn(resolve(userFolder(), folder))))

const dispatch = (command: Asked) => Effect.flatMap(Todos, (todos) => todos.dispatch(list, command))

const line = ({ completed, id, title }: Todo): string => `[${completed ? "x" : " "}] ${id}  ${title}`

/** The next number that no to-do of the list's history has had. */
const nextId = Effect.gen(function*() {
  const todos = yield* Todos
  const history = yield* Stream.runCollect(todos.history(list))
  return String(history.filter(({ event }) => event._tag === "TodoCreated").length + 1)
})

const id = Argument.String("id").pipe(Argument.withDescription("The to-do's number, as `todo list` shows it"))

const add = Command.make(
  "add",
  { title: Argument.String("title").pipe(Argument.withDescription("What there is to do")) },
  Effect.fn(function*({ title }) {
    const create = Effect.tap(nextId, (id) => dispatch(TodoList.CreateTodo({ id, title })))
    // Another process may take the number first; then the next one is tried.
    const created = yield* onList(Effect.retry(create, {
      while: (error) => isTodoRefusal(error) && error._tag === "AlreadyExists",
      times: 20
    }))
    yield* Console.log(`Added ${created}.`)
  })
).pipe(Command.withDescription("Add a to-do"))

const done = Command.make(
  "done",
  { id },
  Effect.fn(function*({ id }) {
    yield* onList(dispatch(TodoList.CompleteTodo({ id })))
    yield* Console.log(`Done with ${id}.`)
  })
).pipe(Command.withDescription("Mark a to-do as done"))

const remove = Command.make(
  "delete",
  { id },
  Effect.fn(function*({ id }) {
    yield* onList(dispatch(TodoList.DeleteTodo({ id })))
    yield* Console.log(`Deleted ${id}.`)
  })
).pipe(Command.withDescription("Delete a to-do; its history stays"))

const show = Command.make(
  "list",
  {},
  Effect.fn(function*() {
    const { state } = yield* onList(Effect.flatMap(Todos, (todos) => todos.state(list)))
    yield* Console.log(state.length === 0 ? "There is nothing to do." : state.map(line).join("\n"))
  })
).pipe(Command.withDescription("List what there is to do, and what is done"))

const history = Command.make(
  "history",
  {},
  Effect.fn(function*() {
    const events = yield* onList(Effect.flatMap(Todos, (todos) => Stream.runCollect(todos.history(list))))
    for (const { event, recorded } of events) {
      const what = event._tag === "TodoCreated" ? `${event.id}  ${event.title}` : event.id
      yield* Console.log(
        `${recorded.version}  ${new Date(recorded.recordedAt).toISOString()}  ${recorded.type}  ${what}`
      )
    }
  })
).pipe(Command.withDescription("List everything that ever happened to the list"))

export const TodoCommand = Command.make("todo").pipe(
  Command.withDescription("A to-do list, event-sourced in PostgreSQL"),
  Command.withSubcommands([add, done, remove, show, history]),
  Command.withGlobalFlags([DataFolder])
)
