import { isDestination, readPublicKeys } from '../readers.js';
import { optional, path, text, yesNo } from '../schema.js';
import { keysOf } from './key.js';

const key = keysOf('Access');

/** Who may log in, and who signs. */
export const ACCESS_KEYS = {
  SSH_AUTHORIZED_KEYS: key(
    '',
    text<readonly string[]>(readPublicKeys),
    'Public keys that may log in as root over SSH, one a line; "@file" takes the lines of a file beside this one.',
    'An image needs a key or ROOT_PASSWORD_HASH: one that nobody can log in to is refused.',
  ),
  SIGN_KEY: key(
    '',
    path,
    'File of the public key that images and their overlays are signed with (relative to this file): "id_ed25519.pub". Its',
    'private half is in ssh-agent, on a FIDO token, or in the file beside it. Empty: nothing is signed (docs/trust.md).',
  ),
  SIGNERS: key(
    '',
    text<readonly string[]>(readPublicKeys),
    'Public keys, one a line, or "@file": whose overlays an instance takes after this one. Empty: that of SIGN_KEY.',
  ),
  SERIAL: key(
    '',
    text<number | undefined>((input) =>
      input === ''
        ? { value: undefined }
        : /^(?:0|[1-9][0-9]{0,9})$/.test(input)
          ? { value: Number(input) }
          : {
              message: 'must be a whole number of at most ten digits',
              fix: 'write the time of a commit: "1767225600"',
            },
    ),
    'Number of a signed overlay: an instance takes none with a lower one than its last. Empty: SOURCE_DATE_EPOCH.',
  ),
  PUSH_TO: key(
    '',
    optional((input) =>
      isDestination(input)
        ? { value: input }
        : {
            message: 'must be what ssh(1) takes as its destination',
            fix: 'write it as "root@198.51.100.7", with a port as "ssh://root@198.51.100.7:2222"',
          },
    ),
    'Where `clawdie-iso push --all` reaches the instance: a destination of ssh(1), as root. Nothing of it is in the image.',
  ),
  SSH_PASSWORD_AUTH: key('no', yesNo, 'Whether SSH takes passwords too. Needs ROOT_PASSWORD_HASH.'),
  ROOT_PASSWORD_HASH: key(
    '',
    text<string | undefined>((input) => {
      if (input === '') return { value: undefined };
      const fix = `make one with "openssl passwd -6", and put it in single quotes`;
      if (/^\$6\$(?:rounds=[0-9]{4,9}\$)?[./A-Za-z0-9]{1,16}\$[./A-Za-z0-9]{86}$/.test(input))
        return { value: input };
      if (/^\$2[aby]\$(?:0[89]|[12][0-9]|3[01])\$[./A-Za-z0-9]{53}$/.test(input)) return { value: input };
      if (/^\$5\$|^\$1\$|^[./A-Za-z0-9]{13}$/.test(input))
        return { message: 'is of a kind that is too weak', fix };
      return { message: 'must be a password hash of crypt(3), of SHA-512 or bcrypt', fix };
    }),
    'Password hash of root for the console (and for SSH with SSH_PASSWORD_AUTH), in single quotes.',
    'Empty: no password opens root. There is never a default password.',
  ),
};
