/**
 * A list of things to do: its commands and events, and the rules by which the former lead to the latter.
 */
import * as Action from "@composable-ts/core/Action"
import * as Aggregate from "@composable-ts/core/Aggregate"
import * as Event from "@composable-ts/core/Event"
import * as Fx from "@composable-ts/core/Fx"
import { Schema } from "effect"

/** Names a to-do within its list. */
export const TodoId = Schema.NonEmptyString

const id = TodoId

/** The longest title, in UTF-16 units. */
export const longestTitle = 500

/** What there is to do: not blank, and not too long. */
export const Title = Schema.String.check(
  Schema.isMaxLength(longestTitle),
  Schema.makeFilter((title) => title.trim() !== "" || "Expected a title that is not blank")
)

/** The vocabulary: what can be asked of a list, and what can have happened to it. */
export const TodoList = Action.define("TodoList", {
  commands: {
    CreateTodo: { id, title: Schema.String },
    CompleteTodo: { id },
    DeleteTodo: { id }
  },
  events: {
    TodoCreated: Event.v1({ id, title: Title }),
    TodoCompleted: Event.v1({ id }),
    TodoDeleted: Event.v1({ id })
  }
})

export type TodoCommand = Action.CommandOf<typeof TodoList>
export type TodoEvent = Action.EventOf<typeof TodoList>

/** Something to do, or done. */
export interface Todo {
  readonly id: string
  readonly title: string
  readonly completed: boolean
}

/** The to-dos in the order in which they were created. */
export type Todos = ReadonlyArray<Todo>

/** Why a list refuses a command. */
export const TodoRefusal = Schema.TaggedUnion({
  AlreadyExists: { id: Schema.String },
  TitleBlank: { id: Schema.String },
  TitleTooLong: { id: Schema.String, length: Schema.Int },
  NotFound: { id: Schema.String },
  AlreadyCompleted: { id: Schema.String }
})

/** Why a list refuses a command. */
export type TodoRefusal = typeof TodoRefusal.Type

/** Tells a refusal from everything else that can go wrong with a command. */
export const isTodoRefusal = Schema.is(TodoRefusal)

/** The refusal as a sentence without a full stop. */
export const explain = (refusal: TodoRefusal): string =>
  TodoRefusal.match(refusal, {
    AlreadyExists: ({ id }) => `there is a to-do ${id} already`,
    TitleBlank: () => "a to-do needs a title",
    TitleTooLong: ({ length }) => `a title may have ${longestTitle} characters, and this one has ${length}`,
    NotFound: ({ id }) => `there is no to-do ${id}`,
    AlreadyCompleted: ({ id }) => `to-do ${id} is already done`
  })

type Decision = Fx.Decision<TodoEvent, TodoRefusal>

const find = (todos: Todos, id: string): Todo | undefined => todos.find((todo) => todo.id === id)

const create = (todos: Todos, id: string, title: string): Decision => {
  if (find(todos, id) !== undefined) return Fx.reject({ _tag: "AlreadyExists", id })
  if (title.trim() === "") return Fx.reject({ _tag: "TitleBlank", id })
  if (title.length > longestTitle) return Fx.reject({ _tag: "TitleTooLong", id, length: title.length })
  return Fx.append(TodoList.TodoCreated({ id, title }))
}

const complete = (todos: Todos, id: string): Decision => {
  const todo = find(todos, id)
  if (todo === undefined) return Fx.reject({ _tag: "NotFound", id })
  return todo.completed ? Fx.reject({ _tag: "AlreadyCompleted", id }) : Fx.append(TodoList.TodoCompleted({ id }))
}

const remove = (todos: Todos, id: string): Decision =>
  find(todos, id) === undefined ? Fx.reject({ _tag: "NotFound", id }) : Fx.append(TodoList.TodoDeleted({ id }))

/** The aggregate: a list that decides its commands by the rules above. Its stream is `todo-<name>`. */
export const todoList = Aggregate.define(TodoList, {
  category: "todo",
  initial: [] as Todos,
  decide: (todos, command): Decision =>
    TodoList.match(command, {
      CreateTodo: ({ id, title }) => create(todos, id, title),
      CompleteTodo: ({ id }) => complete(todos, id),
      DeleteTodo: ({ id }) => remove(todos, id)
    }),
  evolve: (todos, event): Todos =>
    TodoList.match(event, {
      TodoCreated: ({ id, title }) => [...todos, { id, title, completed: false }],
      TodoCompleted: ({ id }) => todos.map((todo) => todo.id === id ? { ...todo, completed: true } : todo),
      TodoDeleted: ({ id }) => todos.filter((todo) => todo.id !== id)
    })
})
