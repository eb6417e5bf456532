# Sends packets as they are written. Reads IPv4 packets of 128 bytes at most from a file, one behind the other, and sends each by a raw
# socket (IP_HDRINCL, ip(4)); says for each how sendto(2) ended: a byte, 0 or the errno. Ends with 0, or the errno of what else failed.
# In the base there is nothing that does: nc(1), ping(8) and traceroute(8) write headers of their own.
#
# FreeBSD, amd64: the number of a system call in eax (sys/syscall.h); where it fails, the carry flag is set, and eax is the errno.
# Assembled by GNU as; cell-program.ts has the bytes, and a test holds that they are these.

	.intel_syntax noprefix
	.globl	_start
_start:
	sub	rsp, 256
	# struct sockaddr_in at 128: its length (16), AF_INET (2), no port; the address comes later.
	mov	dword ptr [rsp+128], 0x0210
	mov	dword ptr [rsp+136], 0
	mov	dword ptr [rsp+140], 0
	mov	dword ptr [rsp+144], 1
	# struct timespec at 160: a millisecond.
	mov	qword ptr [rsp+160], 0
	mov	qword ptr [rsp+168], 1000000

	# socket(AF_INET, SOCK_RAW, IPPROTO_RAW)
	mov	eax, 97
	mov	edi, 2
	mov	esi, 3
	mov	edx, 255
	syscall
	jc	fail
	mov	ebx, eax
	# setsockopt(socket, IPPROTO_IP, IP_HDRINCL, &one, 4)
	mov	eax, 105
	mov	edi, ebx
	xor	esi, esi
	mov	edx, 2
	lea	r10, [rsp+144]
	mov	r8d, 4
	syscall
	jc	fail

next:
	# read(0, packet, 20): a header without options.
	mov	eax, 3
	xor	edi, edi
	mov	rsi, rsp
	mov	edx, 20
	syscall
	jc	fail
	cmp	eax, 20
	jne	done
	# How long it is, and where it goes, are in the header.
	movzx	ebp, word ptr [rsp+2]
	xchg	ebp, eax
	xchg	al, ah
	xchg	ebp, eax
	cmp	ebp, 128
	ja	done
	mov	eax, [rsp+16]
	mov	[rsp+132], eax
	# read(0, packet + 20, length - 20)
	mov	eax, 3
	xor	edi, edi
	lea	rsi, [rsp+20]
	lea	edx, [rbp-20]
	syscall
	jc	fail
	# sendto(socket, packet, length, 0, &address, 16)
	mov	eax, 133
	mov	edi, ebx
	mov	rsi, rsp
	mov	edx, ebp
	xor	r10d, r10d
	lea	r8, [rsp+128]
	mov	r9d, 16
	syscall
	jc	told
	xor	eax, eax
told:
	# write(1, &errno, 1)
	mov	[rsp+144], al
	mov	eax, 4
	mov	edi, 1
	lea	rsi, [rsp+144]
	mov	edx, 1
	syscall
	# nanosleep(&millisecond, NULL): queues of the kernel are short.
	mov	eax, 240
	lea	rdi, [rsp+160]
	xor	esi, esi
	syscall
	jmp	next

done:
	xor	eax, eax
fail:
	# exit(errno)
	mov	edi, eax
	mov	eax, 1
	syscall
