# For bash scripts that have to work on a fresh Debian or Ubuntu: installs packages.

as_root() { if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi; }

package_is_installed() {
  [ "$(dpkg-query -W -f '${Status}' "$1" 2>/dev/null)" = 'install ok installed' ]
}

may_install() { [ "$(id -u)" -eq 0 ] || command -v sudo >/dev/null; }

# Does apt have lists of what there is? A fresh container's has none.
apt_has_lists() { compgen -G '/var/lib/apt/lists/*_Packages*' >/dev/null; }

# Sorts "$@" into `available` and `unknown`, by the lists.
look_up_packages() {
  local package
  available=() unknown=()
  for package; do
    if [ -n "$(apt-cache show --no-all-versions "$package" 2>/dev/null)" ]; then
      available+=("$package")
    else
      unknown+=("$package")
    fi
  done
}

# install_packages NAME...: installs those that are missing and says so; asks the network
# only then. A package this distribution does not have is named and passed over. Prints
# nothing and does nothing when all are there. Fails where nobody may install.
install_packages() {
  local package missing=() available=() unknown=() output
  if ! command -v apt-get >/dev/null; then
    echo "This is no Debian or Ubuntu. What Debian calls $* has to be there." >&2
    return
  fi
  for package; do
    package_is_installed "$package" || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  available=("${missing[@]}")
  ! apt_has_lists || look_up_packages "${missing[@]}"
  if [ ${#available[@]} -gt 0 ] && ! may_install; then
    echo "Please run as root: apt-get install ${available[*]}" >&2
    return 1
  fi
  if [ ${#available[@]} -gt 0 ]; then
    echo "== installing: ${available[*]}"
    local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300)
    as_root "${apt[@]}" update || echo 'apt-get update failed, going on without' >&2
    look_up_packages "${missing[@]}"
  fi
  [ ${#unknown[@]} -eq 0 ] || echo "this distribution has no package ${unknown[*]}" >&2
  [ ${#available[@]} -gt 0 ] || return 0
  output=$(as_root "${apt[@]}" install -y --no-install-recommends "${available[@]}" 2>&1) || {
    echo "$output" >&2
    return 1
  }
}
