# What runs on a node, in a mount and process namespace that ends with this script: $0 is the Kubernetes program, the
# arguments are the kubelet's.
set -e
# Places that the programs write to, wherever their own folders are.
mount -t tmpfs tmpfs /run
mkdir /run/netns var var-work
mount -t overlay overlay -o "lowerdir=/var,upperdir=$PWD/var,workdir=$PWD/var-work" /var
containerd --config containerd.toml >containerd.log 2>&1 &
# The image that each pod needs is imported meanwhile.
read -r it_is_there
exec "$0" kubelet "$@"
