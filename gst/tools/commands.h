// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// The commands of possum(1). Each prints to standard output and returns an exit status.
#pragma once

#include "options.h"

namespace tool {

int list(const Options& options);
int info(const Options& options);
int watch(const Options& options);
int clean(const Options& options);

}  // namespace tool
