import * as AggregateTest from "@composable-ts/testing/AggregateTest"
import * as Laws from "@composable-ts/testing/Laws"
import * as ModelTest from "@composable-ts/testing/ModelTest"
import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Schema } from "effect"
import { explain, isTodoRefusal, longestTitle, TodoList, todoList, TodoRefusal } from "../src/TodoList.ts"

const plants = { id: "1", title: "Water the plants" }
const created = TodoList.TodoCreated(plants)
const completed = TodoList.TodoCompleted({ id: "1" })
const deleted = TodoList.TodoDeleted({ id: "1" })

describe("a to-do", () => {
  it("is created, completed and deleted", () => {
    AggregateTest.check(todoList, {
      when: TodoList.CreateTodo(plants),
      thenEvents: [created],
      thenState: [{ ...plants, completed: false }]
    })
    AggregateTest.check(todoList, {
      given: [created],
      when: TodoList.CompleteTodo({ id: "1" }),
      thenEvents: [completed],
      thenState: [{ ...plants, completed: true }]
    })
    for (const given of [[created], [created, completed]]) {
      AggregateTest.check(todoList, {
        given,
        when: TodoList.DeleteTodo({ id: "1" }),
        thenEvents: [deleted],
        thenState: []
      })
    }
  })

  it("stands behind those that were created before", () => {
    AggregateTest.check(todoList, {
      given: [created],
      when: TodoList.CreateTodo({ id: "0", title: "Call Ada" }),
      thenState: [{ ...plants, completed: false }, { id: "0", title: "Call Ada", completed: false }]
    })
  })

  it("has an id of its own, which is free again once it is deleted", () => {
    AggregateTest.check(todoList, {
      given: [created],
      when: TodoList.CreateTodo({ id: "1", title: "Other" }),
      thenRefused: { _tag: "AlreadyExists", id: "1" }
    })
    AggregateTest.check(todoList, {
      given: [created, deleted],
      when: TodoList.CreateTodo(plants),
      thenEvents: [created]
    })
  })

  it("has a title, of 500 characters at the most", () => {
    for (const title of ["", "  ", "\t\n"]) {
      AggregateTest.check(todoList, {
        when: TodoList.CreateTodo({ id: "1", title }),
        thenRefused: { _tag: "TitleBlank", id: "1" }
      })
    }
    const title = "x".repeat(longestTitle)
    AggregateTest.check(todoList, {
      when: TodoList.CreateTodo({ id: "1", title }),
      thenEvents: [TodoList.TodoCreated({ id: "1", title })]
    })
    AggregateTest.check(todoList, {
      when: TodoList.CreateTodo({ id: "1", title: `${title}x` }),
      thenRefused: { _tag: "TitleTooLong", id: "1", length: 501 }
    })
  })

  it("is completed once, and only when it is there", () => {
    AggregateTest.check(todoList, {
      given: [created, completed],
      when: TodoList.CompleteTodo({ id: "1" }),
      thenRefused: { _tag: "AlreadyCompleted", id: "1" }
    })
    for (const given of [[], [created, deleted]]) {
      for (const when of [TodoList.CompleteTodo({ id: "1" }), TodoList.DeleteTodo({ id: "1" })]) {
        AggregateTest.check(todoList, { given, when, thenRefused: { _tag: "NotFound", id: "1" } })
      }
    }
  })
})

it("each refusal has a sentence", () => {
  const sentences: ReadonlyArray<readonly [TodoRefusal, string]> = [
    [{ _tag: "AlreadyExists", id: "1" }, "there is a to-do 1 already"],
    [{ _tag: "TitleBlank", id: "1" }, "a to-do needs a title"],
    [{ _tag: "TitleTooLong", id: "1", length: 501 }, "a title may have 500 characters, and this one has 501"],
    [{ _tag: "NotFound", id: "1" }, "there is no to-do 1"],
    [{ _tag: "AlreadyCompleted", id: "1" }, "to-do 1 is already done"]
  ]
  assert.strictEqual(sentences.length, Object.keys(TodoRefusal.cases).length)
  for (const [refusal, sentence] of sentences) {
    assert.strictEqual(explain(refusal), sentence)
    assert.isTrue(isTodoRefusal(refusal))
  }
  assert.isFalse(isTodoRefusal(new Error("no")))
})

const ids = Arbitrary.schema(Schema.Literals(["1", "2", "3"]))
const arbitraries = {
  CreateTodo: Arbitrary.map(
    Arbitrary.all({ id: ids, title: Arbitrary.schema(Schema.Literals(["a", "b", ""])) }),
    TodoList.CreateTodo
  ),
  CompleteTodo: Arbitrary.map(Arbitrary.all({ id: ids }), TodoList.CompleteTodo),
  DeleteTodo: Arbitrary.map(Arbitrary.all({ id: ids }), TodoList.DeleteTodo)
}

describe("the laws of every aggregate hold for a list", () => {
  it("replay", () => Laws.replayIsDeterministic(todoList))
  it("decisions", () => Laws.decideIsPure(todoList, { arbitraries }))
  it("the stored form", () => Laws.decodeEncodeRoundTrips(TodoList))
  it.effect("commands that race", () => Laws.serialEqualsConcurrent(todoList, { arbitraries }))
})

it("whatever is asked of a list, its to-dos have ids of their own, and titles", () => {
  ModelTest.check(todoList, {
    arbitraries,
    invariants: {
      "no id twice": (todos) => new Set(todos.map(({ id }) => id)).size === todos.length,
      "every to-do has a title": (todos) => todos.every(({ title }) => title.trim() !== ""),
      "a refusal changes nothing": (todos, { before, refusal }) => refusal === undefined || todos === before
    }
  })
})
