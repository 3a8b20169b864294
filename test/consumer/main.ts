/**
 * The program of a user who installed the packages from their tarballs. `test/Packages.test.ts` compiles it outside the
 * workspace and runs it with the Node it finds there; nothing in it may rely on the workspace.
 */
import * as Core from "@composable-ts/core"
import * as Postgres from "@composable-ts/postgres"
import * as Projections from "@composable-ts/projections"
import * as Testing from "@composable-ts/testing"

const modules = { Core, Postgres, Projections, Testing }
console.log(`loaded ${Object.keys(modules).join(", ")}`)
