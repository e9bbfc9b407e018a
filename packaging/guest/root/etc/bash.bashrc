# Every interactive shell of a zone: the zone's name is in the prompt.
[ -n "$PS1" ] || return
shopt -s checkwinsize histappend
PS1='\[\e[1;32m\]\u@\h\[\e[0m\]:\[\e[1;34m\]\w\[\e[0m\]\$ '
alias ls='ls --color=auto'
alias ll='ls -l'
alias grep='grep --color=auto'
if [ -w "$BULKHEAD_READY" ]; then
	# The first terminal's shell, before its first prompt: the terminal has answered, so what it was sent is drawn.
	__bulkhead_ready() {
		echo ready >"$BULKHEAD_READY"
		unset BULKHEAD_READY PROMPT_COMMAND
		unset -f __bulkhead_ready
	}
	PROMPT_COMMAND=__bulkhead_ready
fi
