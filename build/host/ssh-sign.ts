import { spawn } from 'node:child_process';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { codeOf, UserError } from '../error.js';
import { exists, removeTree } from './files.js';
import { attempt } from './process.js';

/*
 * Signatures as ssh-keygen(1) makes and checks them (-Y; PROTOCOL.sshsig of OpenSSH): with any key that ssh has, in a file, in
 * ssh-agent(1) or on a FIDO token. The namespace keeps what was signed as one thing from being taken for another.
 */

/**
 * Signs bytes. What ssh-keygen asks (a passphrase, a touch) goes to the terminal.
 *
 * @param key path of a public key, whose private half ssh-agent(1) has, or the file without `.pub`
 * @param note hears of a token that waits to be touched
 * @returns the signature, as text
 * @throws UserError if it cannot be made.
 */
export async function sign(
  key: string,
  namespace: string,
  data: Buffer | string,
  note: (text: string) => void = () => undefined,
): Promise<string> {
  const child = spawn('ssh-keygen', ['-Y', 'sign', '-n', namespace, '-f', key], {
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
    if (/user presence/i.test(text)) note(`The key of SIGN_KEY waits to be touched: ${text.trim()}`);
  });
  child.stdin.on('error', () => undefined); // its exit code tells
  child.stdin.end(data);
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', (error) => {
      reject(
        codeOf(error) === 'ENOENT'
          ? new UserError(
              'Signing needs ssh-keygen(1), which is not there.',
              'Install OpenSSH (openssh-client).',
            )
          : error,
      );
    });
    child.once('close', resolve);
  });
  if (code === 0 && stdout.startsWith('-----BEGIN SSH SIGNATURE-----\n')) return stdout;
  const said = stderr
    .split(/\r?\n/)
    .filter((line) => line !== '' && !line.startsWith('Signing data on'))
    .join('; ');
  throw new UserError(
    `Signing with ${key} failed: ${said === '' ? `ssh-keygen ended with ${String(code)}` : said}.`,
    'SIGN_KEY names the .pub file of a key whose private half ssh-agent has (ssh-add -l), or the file beside it.',
  );
}

/** Whether the private half of a public key is at hand: in the file beside it, or in ssh-agent(1). */
export async function hasPrivateHalf(path: string, publicKey: string): Promise<boolean> {
  if (path.endsWith('.pub') && (await exists(path.slice(0, -'.pub'.length)))) return true;
  const [, body = publicKey] = publicKey.split(' ');
  return (await attempt(['ssh-add', '-L'])).stdout.includes(body);
}

/**
 * Whether one of the signers has signed bytes.
 *
 * @param signers text of a file of allowed signers
 * @returns who, and with which key; undefined if none of them has
 */
export async function verify(
  signers: string,
  namespace: string,
  data: Buffer | string,
  signature: string,
): Promise<string | undefined> {
  const work = await mkdtemp(join(tmpdir(), 'clawdie-verify-'));
  try {
    const [list, file] = [join(work, 'signers'), join(work, 'signature')];
    await writeFile(list, signers);
    await writeFile(file, signature);
    const found = await attempt(['ssh-keygen', '-Y', 'find-principals', '-f', list, '-s', file]);
    for (const name of found.code === 0 ? found.stdout.trim().split(/[\n,]/) : []) {
      const { code, stdout } = await attempt(
        ['ssh-keygen', '-Y', 'verify', '-f', list, '-I', name, '-n', namespace, '-s', file],
        { input: data.toString() },
      );
      if (code === 0) return /^Good .* signature for (.*)$/m.exec(stdout)?.[1] ?? name;
    }
    return undefined;
  } finally {
    await removeTree(work);
  }
}
