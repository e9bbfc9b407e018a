# Every interactive shell of a zone: the zone's name is in the prompt.
[ -n "$PS1" ] || return
shopt -s checkwinsize histappend
PS1='\[\e[1;32m\]\u@\h\[\e[0m\]:\[\e[1;34m\]\w\[\e[0m\]\$ '
alias ls='ls --color=auto' ll='ls -l' grep='grep --color=auto'
[ -e /run/notice ] && cat /run/notice
if [ -n "$BULKHEAD_READY" ]; then
	# The first terminal's shell, before its first prompt: waits until the window manager has given a window the focus, so
	# that who hears `ready` can type.
	__bulkhead_ready() {
		local port=$BULKHEAD_READY
		unset BULKHEAD_READY PROMPT_COMMAND
		unset -f __bulkhead_ready
		local try
		for try in {1..40}; do
			[[ $(xprop -root _NET_ACTIVE_WINDOW) == *\#\ 0x[1-9a-f]* ]] && break
			read -t 0.2 -r _ <>"$XDG_RUNTIME_DIR/server"
		done
		[ -w "$port" ] && echo ready >"$port"
		echo >/run/ready
	} 2>/dev/null
	PROMPT_COMMAND=__bulkhead_ready
fi
