/** A program that says who it is and does nothing; or ends with an exit code, after saying that or before. */
const [how] = process.argv.slice(2)
if (how === "fails") process.exit(4)
process.stdout.write(`${process.pid}\n`)
if (how === "ends") setTimeout(() => process.exit(3), 50)
else setInterval(() => {}, 60_000)
export {}
