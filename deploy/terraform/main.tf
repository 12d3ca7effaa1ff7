# What vectadb-agent needs to read log groups, and a role that has it:
#
#   module "vectadb_agent" {
#     source         = "./deploy/terraform"
#     log_group_arns = ["arn:aws:logs:us-east-1:123456789012:log-group:/aws/lambda/my-agent"]
#     trusted        = ["ecs-tasks.amazonaws.com"]
#   }

terraform {
  required_version = ">= 1.3"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.0"
    }
  }
}

variable "log_group_arns" {
  description = "Log groups to read, without the `:*` behind; a * stands for any characters, as in …:log-group:/ecs/agents/*"
  type        = list(string)

  validation {
    condition     = length(var.log_group_arns) > 0 && alltrue([for arn in var.log_group_arns : !endswith(arn, ":*")])
    error_message = "Give at least one ARN of a log group, without :* at its end."
  }
}

variable "trusted" {
  description = "Services that may take the role, such as ecs-tasks.amazonaws.com or ec2.amazonaws.com; none: a policy alone."
  type        = list(string)
  default     = []
}

variable "name" {
  description = "Name of policy and role."
  type        = string
  default     = "vectadb-agent"
}

data "aws_iam_policy_document" "read" {
  statement {
    sid       = "ReadLogGroups"
    actions   = ["logs:FilterLogEvents"]
    resources = [for arn in var.log_group_arns : "${arn}:*"]
  }

  statement {
    sid       = "FindLogGroups"
    actions   = ["logs:DescribeLogGroups"]
    resources = ["*"] # AWS knows no narrower one
  }
}

data "aws_iam_policy_document" "trust" {
  count = length(var.trusted) > 0 ? 1 : 0

  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = var.trusted
    }
  }
}

resource "aws_iam_policy" "read" {
  name        = var.name
  description = "Reads log groups for vectadb-agent"
  policy      = data.aws_iam_policy_document.read.json
}

resource "aws_iam_role" "agent" {
  count = length(var.trusted) > 0 ? 1 : 0

  name               = var.name
  assume_role_policy = data.aws_iam_policy_document.trust[0].json
}

resource "aws_iam_role_policy_attachment" "agent" {
  count = length(var.trusted) > 0 ? 1 : 0

  role       = aws_iam_role.agent[0].name
  policy_arn = aws_iam_policy.read.arn
}

output "policy_arn" {
  description = "The policy, for a user or role of your own."
  value       = aws_iam_policy.read.arn
}

output "role_arn" {
  description = "The role, where `trusted` names a service."
  value       = one(aws_iam_role.agent[*].arn)
}
