import { Empty } from "../../shared/states";

export default function Traces() {
	return <Empty title="Traces" />;
}
