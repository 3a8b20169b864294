/**
 * A password as PostgreSQL stores it. Sent in this form, it stands in no log of statements.
 */
import { createHash, createHmac, pbkdf2, randomBytes } from "node:crypto"
import { promisify } from "node:util"

const iterations = 4096

const keyed = (key: Uint8Array, text: string): Buffer => createHmac("sha256", key).update(text).digest()

/** The verifier for SCRAM-SHA-256 (RFC 5803), with a fresh salt. */
export const scramVerifier = async (password: string): Promise<string> => {
  const salt = randomBytes(16)
  const salted = await promisify(pbkdf2)(password, salt, iterations, 32, "sha256")
  const storedKey = createHash("sha256").update(keyed(salted, "Client Key")).digest("base64")
  const serverKey = keyed(salted, "Server Key").toString("base64")
  return `SCRAM-SHA-256$${iterations}:${salt.toString("base64")}$${storedKey}:${serverKey}`
}
